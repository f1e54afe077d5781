"""Python's own smtplib and imaplib against a running server. Argument: the JSON that `aviso demo --json` printed. Prints one line for each thing that works."""

import imaplib
import json
import smtplib
import socket
import ssl
import sys
import time
from email.message import EmailMessage

reach = json.loads(sys.argv[1])
HOST, PORTS = reach["host"], reach["ports"]
ANNA, BERT = reach["accounts"]
TRUST = ssl.create_default_context(cafile=reach["ca"])


def done(what):
    print(what, flush=True)


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def smtp(how):
    if how == "TLS":
        return smtplib.SMTP_SSL(HOST, PORTS["submissions"], context=TRUST, timeout=20)
    client = smtplib.SMTP(HOST, PORTS["submission"], timeout=20)
    client.starttls(context=TRUST)
    return client


def imap(account, how="TLS"):
    if how == "TLS":
        client = imaplib.IMAP4_SSL(HOST, PORTS["imaps"], ssl_context=TRUST, timeout=20)
    else:
        client = imaplib.IMAP4(HOST, PORTS["imap"], timeout=20)
        assert "LOGINDISABLED" in client.capabilities, client.capabilities
        client.starttls(ssl_context=TRUST)
    ok(client.login(account["address"], account["password"]))
    return client


def uids(client, *criteria):
    return [int(word) for word in ok(client.uid("SEARCH", *criteria))[0].split()]


def sending():
    for how in ("STARTTLS", "TLS"):
        message = EmailMessage()
        message["From"], message["To"] = ANNA["address"], BERT["address"]
        message["Subject"] = f"smtplib {how} Grüße"
        message.set_content("Viele Grüße\n.\n..\n")
        message.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="octet-stream", filename="all.bin")
        with smtp(how) as client:
            client.login(ANNA["address"], ANNA["password"])
            # Two transactions in one session, the second with a recipient who is not there.
            client.send_message(message)
            refused = client.sendmail(
                ANNA["address"], [BERT["address"], "nobody@" + reach["domain"]], f"From: {ANNA['address']}\r\nSubject: second\r\n\r\nx\r\n"
            )
            assert list(refused) == ["nobody@" + reach["domain"]] and refused[list(refused)[0]][0] == 550, refused
        done(f"smtplib {how}")
    with smtp("TLS") as client:
        try:
            client.login(ANNA["address"], "wrong")
            raise AssertionError("a wrong password was taken")
        except smtplib.SMTPAuthenticationError as error:
            assert error.smtp_code == 535, error
    done("smtplib: a wrong password is refused")


def reading():
    client = imap(BERT, "STARTTLS")
    assert ok(client.select("INBOX")) == [b"4"]
    found = uids(client, "HEADER", "Subject", '"smtplib STARTTLS"')
    assert len(found) == 1, found
    ((_, source), _) = ok(client.uid("FETCH", str(found[0]), "(BODY.PEEK[])"))
    from email import message_from_bytes, policy

    message = message_from_bytes(source, policy=policy.default)
    assert message["Subject"] == "smtplib STARTTLS Grüße"
    assert message.get_body().get_content().replace("\r\n", "\n") == "Viele Grüße\n.\n..\n", source
    (attachment,) = message.iter_attachments()
    assert attachment.get_content() == bytes(range(256)) * 400
    ((_, part), _) = ok(client.uid("FETCH", str(found[0]), "(BODY.PEEK[2]<10.20>)"))
    assert len(part) == 20 and part in source, part
    client.logout()
    done("imaplib: what smtplib sent is there, attachment and all")


def binary():
    """smtplib knows no BDAT: the command by hand, its octets behind it, in two chunks."""
    octets = bytes(range(256)) * 300
    head = (
        f"From: {ANNA['address']}\r\nSubject: bits\r\nMIME-Version: 1.0\r\n"
        "Content-Type: application/x-bits\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    ).encode()
    with smtp("TLS") as client:
        client.login(ANNA["address"], ANNA["password"])
        assert client.has_extn("binarymime") and client.has_extn("chunking")
        assert client.docmd("MAIL", f"FROM:<{ANNA['address']}> BODY=BINARYMIME")[0] == 250
        assert client.docmd("RCPT", f"TO:<{BERT['address']}>")[0] == 250
        for chunk, last in ((head, ""), (octets, " LAST")):
            client.sock.sendall(b"BDAT %d%s\r\n" % (len(chunk), last.encode()) + chunk)
            code, text = client.getreply()
            assert code == 250, (code, text)
    client = imap(BERT)
    ok(client.select("INBOX", readonly=True))
    (uid,) = uids(client, "SUBJECT", "bits")
    ((_, source), _) = ok(client.uid("FETCH", str(uid), "(BODY.PEEK[])"))
    from email import message_from_bytes, policy

    assert message_from_bytes(source, policy=policy.default).get_content() == octets
    client.logout()
    done("smtplib: BINARYMIME, and imaplib has the same octets")


def filing():
    client = imap(ANNA)
    names = b" ".join(ok(client.list())).decode()
    for special in ("\\Drafts", "\\Sent", "\\Trash", "\\Junk", "\\Archive"):
        assert special in names, names
    for name in ("Projects", "Projects/Aviso", '"With space"'):
        ok(client.create(name))
    ok(client.subscribe("Projects"))
    assert any(b"Projects/Aviso" in line for line in ok(client.list('""', '"Projects/*"')))
    done("imaplib: mailboxes")

    text = b"From: a@b.test\r\nSubject: appended %d\r\nX-Note: number %d\r\n\r\nThe quick brown fox %d.\r\n"
    ok(client.select("Projects"))
    for number in range(1, 11):
        flags = "(\\Seen \\Flagged)" if number % 2 else "(Blue)"
        ok(client.append("Projects", flags, imaplib.Time2Internaldate(1700000000 + number * 86400), text % ((number,) * 3)))
    ok(client.noop())
    assert len(uids(client, "ALL")) == 10
    done("imaplib: append")

    for criteria, count in (
        (("SEEN",), 5),
        (("UNSEEN", "KEYWORD", "Blue"), 5),
        (("SUBJECT", '"appended 7"'), 1),
        (("BODY", '"FOX 3."'), 1),
        (("TEXT", '"number 10"'), 1),
        (("SINCE", "20-Nov-2023"), 5),
        (("OR", "SUBJECT", '"appended 1"', "SUBJECT", '"appended 2"'), 3),
        (("NOT", "FLAGGED", "SMALLER", "1000"), 5),
        (("HEADER", "X-Note", '""'), 10),
        (("1:3",), 3),
        (("LARGER", "1000"), 0),
    ):
        assert len(uids(client, *criteria)) == count, (criteria, uids(client, *criteria))
    done("imaplib: search")

    data = ok(client.fetch("7", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (X-NOTE)])"))
    assert b'"appended 7"' in data[0][0] and b"RFC822.SIZE %d" % len(text % ((7,) * 3)) in data[0][0], data
    assert data[0][1] == b"X-Note: number 7\r\n\r\n", data
    ((_, body), _) = ok(client.fetch("2", "(BODY[TEXT])"))
    assert body == b"The quick brown fox 2.\r\n"
    assert b"\\Seen" in ok(client.fetch("2", "(FLAGS)"))[0], "BODY[] sets \\Seen"
    done("imaplib: fetch")

    assert b"\\Answered" in ok(client.store("1:2", "+FLAGS", "(\\Answered)"))[0]
    assert b"\\Answered" not in ok(client.store("1", "-FLAGS", "(\\Answered)"))[0]
    assert ok(client.store("3:4", "FLAGS.SILENT", "(Green)")) in ([None], [b""]), "silent"
    assert len(uids(client, "KEYWORD", "Green")) == 2
    done("imaplib: store")

    ok(client.copy("1:3", "Projects/Aviso"))
    ok(client.uid("MOVE", "4:5", "Projects/Aviso"))
    assert len(client.response("EXPUNGE")[1]) == 2
    assert len(uids(client, "ALL")) == 8
    ok(client.store("1:2", "+FLAGS.SILENT", "(\\Deleted)"))
    assert len(ok(client.expunge())) == 2
    ok(client.uid("STORE", "10", "+FLAGS", "(\\Deleted)"))
    ok(client.close())
    assert ok(client.select("Projects")) == [b"5"]
    assert ok(client.select("Projects/Aviso", readonly=True)) == [b"5"]
    assert client.store("1", "+FLAGS", "(\\Seen)")[0] == "NO", "a read-only mailbox is not changed"
    done("imaplib: copy, move, expunge")

    ok(client.select("INBOX"))
    ok(client.rename("Projects", "Old"))
    assert ok(client.status("Old/Aviso", "(MESSAGES)"))[0].endswith(b"(MESSAGES 5)")
    assert client.select("Projects")[0] == "NO"
    ok(client.delete('"With space"'))
    client.logout()
    done("imaplib: rename, delete")


def idling():
    """imaplib of this Python knows no IDLE: its own lines, by hand."""
    watcher, other = imap(ANNA), imap(ANNA)
    ok(watcher.select("INBOX"))
    ok(other.select("INBOX"))
    watcher.send(b"w1 IDLE\r\n")
    assert watcher.readline().startswith(b"+ ")
    begun = time.monotonic()
    with smtp("TLS") as client:
        client.login(BERT["address"], BERT["password"])
        client.sendmail(BERT["address"], [ANNA["address"]], f"From: {BERT['address']}\r\nSubject: wake up\r\n\r\nx\r\n")
    while True:
        line = watcher.readline()
        assert line, "the server went away"
        if line.endswith(b"EXISTS\r\n"):
            break
    assert time.monotonic() - begun < 5
    ok(other.noop())
    ok(other.store("1", "+FLAGS", "(\\Deleted)"))
    while b"FETCH" not in (line := watcher.readline()):
        assert line
    assert b"\\Deleted" in line
    ok(other.expunge())
    while line != b"* 1 EXPUNGE\r\n":
        line = watcher.readline()
        assert line
    watcher.send(b"DONE\r\n")
    while not (line := watcher.readline()).startswith(b"w1 "):
        assert line
    assert line.startswith(b"w1 OK")
    ok(watcher.noop())
    watcher.logout()
    other.logout()
    done("imaplib: IDLE tells of new mail, flags and removal")


def rudeness():
    raw = imap(ANNA)
    raw.send(b"x1 FROBNICATE\r\n")
    assert raw.readline().startswith(b"x1 BAD")
    raw.send(b"x2 NOOP\r\n")
    assert raw.readline().startswith(b"x2 OK")
    raw.logout()
    for port in (PORTS["imap"], PORTS["submission"], PORTS["smtp"], PORTS["xmpp"]):
        with socket.create_connection((HOST, port), timeout=20) as peer:
            peer.sendall(b"\x16\x03\x01\x02\x00" + b"\x00" * 600 + b"\r\n\r\n")
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
    still = imap(BERT)
    still.logout()
    done("rubbish harms nobody")


sending()
reading()
binary()
filing()
idling()
rudeness()
