"""Rater sessions and tokens: signed links and cookies, the token of every form, and the researcher's token.

There are no accounts: only a rater's signed random id leads to their answers. Every purpose has a different salt, so
that a signature for one purpose is invalid for another.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, Signer, TimestampSigner

from scoft_hpc.errors import ConfigError

DAY_SECONDS = 24 * 3600
SESSION_SECONDS = 90 * DAY_SECONDS
ENROLMENT_SECONDS = DAY_SECONDS
ADMIN_SECONDS = DAY_SECONDS // 2
MIN_SECRET_BYTES = 32


@dataclass(frozen=True)
class EnrolmentSession:
    """A visitor before enrolment: the id that they will have, and the version to which they consented, or ""."""

    id: str
    consent: str = ""


class SessionSigner:
    """Signs and verifies links, cookies and forms. `address` is the survey's, such as https://survey.example.org."""

    def __init__(self, secret: bytes, address: str) -> None:
        self.address = address.rstrip("/")
        self.secure = self.address.startswith("https://")
        self._prefix = "__Host-" if self.secure else ""
        self._resume = Signer(secret, salt="resume", digest_method=hashlib.sha256)
        self._form = Signer(secret, salt="form", digest_method=hashlib.sha256)
        self._session = TimestampSigner(secret, salt="session", digest_method=hashlib.sha256)
        self._visit = TimestampSigner(secret, salt="visit", digest_method=hashlib.sha256)
        self._admin = TimestampSigner(secret, salt="admin", digest_method=hashlib.sha256)
        self.admin_token = hmac.digest(secret, b"the researcher's token", "sha256").hex()[:40]

    def cookie(self, name: str) -> str:
        """The cookie's full name: over https one that no other site of the domain can set (RFC 6265bis)."""
        return self._prefix + name

    def resume_link(self, rater: str) -> str:
        """A rater's personal link; it does not expire."""
        return f"{self.address}/resume/{self._resume.sign(rater).decode()}"

    def rater_of_link(self, token: str) -> str | None:
        """The rater of a link's token, or None if it is forged."""
        return _unsigned(self._resume, token)

    def session(self, rater: str) -> str:
        return self._session.sign(rater).decode()

    def rater(self, cookie: str) -> str | None:
        """The rater of a session cookie, or None if it is forged or expired."""
        return _unsigned(self._session, cookie, SESSION_SECONDS)

    def visit(self, visit: EnrolmentSession) -> str:
        return self._visit.sign(f"{visit.id}:{visit.consent}").decode()

    def read_enrolment(self, cookie: str) -> EnrolmentSession | None:
        value = _unsigned(self._visit, cookie, ENROLMENT_SECONDS)
        return None if value is None else EnrolmentSession(*value.split(":", 1))

    def form(self, form_owner: str) -> str:
        """The token of forms that are issued to this id."""
        return self._form.get_signature(form_owner).decode()

    def owns_form(self, form_owner: str, token: str) -> bool:
        return hmac.compare_digest(self.form(form_owner).encode(), token.encode())

    def admin(self) -> str:
        return self._admin.sign("admin").decode()

    def is_admin(self, cookie: str) -> bool:
        return _unsigned(self._admin, cookie, ADMIN_SECONDS) is not None

    def is_admin_token(self, token: str) -> bool:
        return hmac.compare_digest(self.admin_token.encode(), token.strip().encode())


def new_enrolment() -> EnrolmentSession:
    return EnrolmentSession(secrets.token_hex(16))


def secret(path: Path) -> bytes:
    """The survey's random secret, which `survey make` wrote.

    Raises:
        ConfigError: if it cannot be read, is too short, or other users can read it.
    """
    try:
        content, mode = path.read_bytes().strip(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. It signs raters' links; `survey make` writes it."
        ) from None
    if mode & 0o077:
        raise ConfigError(f"{path} may be read by others (mode {mode & 0o777:o}): chmod 600 {path}")
    if len(content) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{path} holds {len(content)} bytes; expected at least {MIN_SECRET_BYTES} random ones."
        )
    return content


def _unsigned(signer: Signer, token: str, age: int | None = None) -> str | None:
    """The signed value, or None if it is forged or older than `age` seconds; valid also if the clock was set back."""
    try:
        if isinstance(signer, TimestampSigner):
            value, signed = signer.unsign(token, return_timestamp=True)
            return None if age is not None and time.time() - signed.timestamp() > age else value.decode()
        return signer.unsign(token).decode()
    except (BadSignature, ValueError):
        return None
