"""A chat client (slixmpp) that shares a file: `upload` puts it by HTTP (XEP-0363) and prints its address; `relay` sends it to another resource of the account through the proxy (XEP-0065) and prints what arrived.

Arguments: JID, password, host, port, CA file, `upload` or `relay`, file. Needs Debian's python3-slixmpp.
"""

import asyncio
import hashlib
import sys

import slixmpp

JID, PASSWORD, HOST, PORT, CA, HOW, FILE = sys.argv[1:8]


class Client(slixmpp.ClientXMPP):
    def __init__(self, resource):
        super().__init__(JID + "/" + resource, PASSWORD)
        self.ca_certs = CA
        for plugin in ("xep_0030", "xep_0065", "xep_0363"):
            self.register_plugin(plugin)
        self.ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.started)

    async def started(self, _):
        self.send_presence()
        await self.get_roster()
        self.ready.set_result(True)

    def reach(self):
        self.connect((HOST, int(PORT)), use_ssl=True)
        return self.ready


async def upload():
    client = Client("one")
    await client.reach()
    # This slixmpp's own search does not run on Python 3.11 and later.
    items = await client["xep_0030"].get_items(jid=client.boundjid.domain)
    for jid, _, _ in items["disco_items"]["items"]:
        info = await client["xep_0030"].get_info(jid=jid)
        if "urn:xmpp:http:upload:0" in info["disco_info"]["features"]:
            client["xep_0363"].upload_service = info["from"]
    print(await client["xep_0363"].upload_file(FILE, timeout=20))
    await client.disconnect()


async def relay():
    one, other = Client("one"), Client("other")
    other["xep_0065"].auto_accept = True
    got, done = hashlib.sha256(), asyncio.get_event_loop().create_future()
    other.add_event_handler("socks5_data", got.update)
    other.add_event_handler("socks5_closed", lambda _: done.done() or done.set_result(True))
    await one.reach()
    await other.reach()
    proxy = await one["xep_0065"].handshake(other.boundjid, timeout=20)
    with open(FILE, "rb") as file:
        await proxy.write(file.read())
    proxy.transport.close()
    await asyncio.wait_for(done, 20)
    print(got.hexdigest())
    await one.disconnect()
    await other.disconnect()


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(upload() if HOW == "upload" else relay(), 60))
