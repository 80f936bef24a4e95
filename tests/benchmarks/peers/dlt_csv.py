"""dlt reads a CSV file into Parquet files; prints the seconds it took. Arguments: file, folder."""

import sys
import time
from pathlib import Path

import dlt
from dlt.sources.filesystem import filesystem, read_csv

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
pipeline = dlt.pipeline(
    "peer",
    destination=dlt.destinations.filesystem(bucket_url=(folder / "out").as_uri()),
    dataset_name="taps",
    pipelines_dir=str(folder / "state"),
)
files = filesystem(bucket_url=source.parent.as_uri(), file_glob=source.name)
begun = time.perf_counter()
pipeline.run((files | read_csv()).with_name("taps"), loader_file_format="parquet")
sys.stdout.write(f"{time.perf_counter() - begun}\n")
