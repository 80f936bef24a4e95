"""Disclosure control and the attacker that audits it."""

from analytics.model import Cells, Certificate, Protected
from analytics.protect.attack import attack
from analytics.protect.secrecy import operators_shown

__all__ = ["Cells", "Certificate", "Protected", "attack", "operators_shown"]
