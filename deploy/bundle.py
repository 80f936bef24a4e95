"""Build the signed bundle an OPA server decides by, from `policies/`.

    python deploy/bundle.py [--opa PATH] [--signing-key PEM] FOLDER

writes `bundle.tar.gz`, `public.pem` (what the server verifies with) and `revision` (the digest of
the policies, which the hub compares with its own before it believes an answer). Without a signing
key, one is made and thrown away: then nobody can sign another bundle for that public key.

The bundle is compiled with the built-ins of the embedded engines and no other: a policy that reads
the environment, the clock or the network does not become a bundle.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.policy.decisions import POLICIES, digest_of, policy_sources
from hub.policy.module import stage


def main() -> int:
    """Build it; the exit code is that of `opa`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--opa", default="opa")
    parser.add_argument("--signing-key", type=Path)
    parser.add_argument("--policies", type=Path, default=POLICIES)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    opa = _program(asked.opa)
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    sources = policy_sources(asked.policies)
    revision = digest_of(sources)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        key = _signing_key(asked.signing_key)
        (scratch / "key.pem").touch(0o600)
        (scratch / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        stage(opa, sources, scratch)
        done = subprocess.run(  # noqa: S603 - the program the operator named
            [
                *(opa, "build", "--bundle", "policies", "--revision", revision),
                *("--capabilities", "capabilities.json"),
                *("--signing-key", "key.pem", "--signing-alg", "ES256"),
                *("--output", (folder / "bundle.tar.gz").absolute()),
            ],
            check=False,
            cwd=scratch,  # what files are called in the bundle begins here
        )
    if done.returncode == 0:
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / "public.pem").write_bytes(public)
        (folder / "revision").write_text(revision, "utf-8")
    return done.returncode


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        sys.exit(f"no program {name}: name one with --opa")
    return str(Path(found).absolute())


def _signing_key(path: Path | None) -> ec.EllipticCurvePrivateKey:
    if path is None:
        return ec.generate_private_key(ec.SECP256R1())
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        sys.exit("the signing key must be on an elliptic curve (ES256)")
    return key


if __name__ == "__main__":
    sys.exit(main())
