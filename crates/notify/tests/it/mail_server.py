"""A mail server for tests: mail_server.py PORT MODE, on loopback. Writes each mail to mail-N in its folder.

Modes: open; login (AUTH required, user haus); busy (452 for every sender); picky (refuses bad@ for good, later@ for now);
no (554 after the text).
"""

import asyncio
import os
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, mode = int(sys.argv[1]), sys.argv[2]
count = 0


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if mode == "busy":
            return "452 4.3.1 come back later"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if mode in ("picky", "no") and address.startswith("bad@"):
            return "550 5.1.1 nobody of that name"
        if mode == "picky" and address.startswith("later@"):
            return "451 4.7.1 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        if mode == "no":
            return "554 5.7.1 not wanted\nhere"
        count += 1
        with open(f"mail-{count}.part", "wb") as file:
            file.write(envelope.original_content)
        with open(f"envelope-{count}", "w") as file:
            file.write(" ".join([envelope.mail_from] + envelope.rcpt_tos))
        os.rename(f"mail-{count}.part", f"mail-{count}")
        return "250 2.0.0 kept"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"haus" and data.password == "planted-Grüße".encode()
    return AuthResult(success=good, handled=False)


def protocol():
    options = {}
    if mode == "login":
        options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    return SMTP(Handler(), hostname="mail.test", **options)


async def main():
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main())
