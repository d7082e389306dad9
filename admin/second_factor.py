"""The code after the password: secrets sealed for the table, one-time codes, recovery codes, the QR code.

A code is good for its half minute and one before and after, and once only: who has read it over a
shoulder comes too late. https://www.rfc-editor.org/rfc/rfc6238
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyotp
import segno
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from markupsafe import Markup

from storage.invitations import ALPHABET, code_hash

STEP_SECONDS = 30
RECOVERY_CODES = 10
_RECOVERY_LENGTH = 16
"""16 of 30 letters are 78 bits: enough to keep the codes as plain hashes, which outlive a changed key."""
_GROUP = 4
_PURPOSE = b"priem.panel.second-factor"


@dataclass(frozen=True, slots=True)
class Seal:
    """Encrypts secrets for the table with a key that is made from the service's own."""

    secret_key: str = field(repr=False)

    def close(self, secret: str) -> str:
        """The secret as it is kept."""
        return self._fernet().encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret again; empty when the key of the service has changed since, or there is none."""
        try:
            return self._fernet().decrypt(sealed.encode()).decode()
        except InvalidToken:
            return ""

    def _fernet(self) -> Fernet:
        derived = HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(self.secret_key.encode())
        return Fernet(base64.urlsafe_b64encode(derived))


def new_secret() -> str:
    """A fresh secret, 160 bits in base32."""
    return pyotp.random_base32()


def matching_step(secret: str, typed: str, now: datetime) -> int | None:
    """The time step whose code this is, or None. Takes as long whichever it is."""
    code = "".join(letter for letter in typed if letter.isascii() and letter.isdigit())
    if not secret:
        return None
    present, maker = int(now.timestamp()) // STEP_SECONDS, pyotp.TOTP(secret)
    found: int | None = None
    for step in (present - 1, present, present + 1):
        if hmac.compare_digest(maker.generate_otp(step), code):
            found = step
    return found


def new_recovery_codes() -> tuple[str, ...]:
    """Codes for the day on which the telephone is lost; shown once."""
    return tuple(_recovery_code() for _number in range(RECOVERY_CODES))


def recovery_hashes(codes: Sequence[str]) -> tuple[str, ...]:
    """What is kept of the codes, however they are typed later."""
    return tuple(code_hash(code) for code in codes)


def _recovery_code() -> str:
    letters = "".join(secrets.choice(ALPHABET) for _letter in range(_RECOVERY_LENGTH))
    return "-".join(letters[start : start + _GROUP] for start in range(0, _RECOVERY_LENGTH, _GROUP))


def by_hand(secret: str) -> str:
    """The secret in groups, for whoever cannot scan."""
    return " ".join(secret[start : start + _GROUP] for start in range(0, len(secret), _GROUP))


def qr_code(secret: str, login: str, firm: str) -> Markup:
    """The picture that an authenticator reads, as inline SVG: no other host sees the secret."""
    address = pyotp.TOTP(secret).provisioning_uri(name=login or "priem", issuer_name=firm.replace(":", " "))
    drawn = segno.make(address, error="l", micro=False).svg_inline(
        scale=5, border=4, dark="#000000", light="#ffffff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(drawn)  # noqa: S704 - drawn by segno from numbers; holds nothing that anybody typed
