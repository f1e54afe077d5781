"""A chat client (slixmpp) on strings: reads commands from standard input and tells what happens on standard output, one JSON array a line.

Arguments: JID, password, host, port, `starttls` or `tls`, CA file; `managed` for a stream that can be resumed, `events` for what events.py does, `photos` with it to be told of photos. Needs Debian's python3-slixmpp.
"""

import asyncio
import json
import sys

import slixmpp
from slixmpp.exceptions import IqError, PresenceError

import events

JID, PASSWORD, HOST, PORT, HOW, CA = sys.argv[1:7]
MANAGED = "managed" in sys.argv[7:]
EVENTS = "events" in sys.argv[7:]


# slixmpp itself prints now and then.
OUT, sys.stdout = sys.stdout, sys.stderr


def tell(*what):
    print(json.dumps(what), file=OUT, flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self):
        super().__init__(JID, PASSWORD)
        self.ca_certs = CA
        for plugin in ("xep_0030", "xep_0092", "xep_0199", "xep_0203", "xep_0202", "xep_0313", "xep_0045"):
            self.register_plugin(plugin)
        if MANAGED:
            self.register_plugin("xep_0198")
            self.add_event_handler("sm_enabled", lambda _: tell("managed"))
            self.add_event_handler("session_resumed", lambda _: tell("resumed"))
        if EVENTS:
            events.register(self, tell, "photos" in sys.argv[7:])
        # Questions are for the one who pulls the strings.
        self.auto_authorize = None
        self.auto_subscribe = None
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("failed_auth", lambda _: tell("refused"))
        self.add_event_handler("disconnected", lambda _: tell("disconnected"))
        self.add_event_handler("stream_error", lambda error: tell("stream-error", error["condition"]))
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("roster_update", self.on_roster_update)
        self.add_event_handler("groupchat_message", lambda m: tell("said", m["from"].full, m["body"]))
        self.add_event_handler("groupchat_subject", lambda m: tell("subject", m["from"].full, m["subject"]))
        self.add_event_handler("groupchat_invite", lambda m: tell("invited", m["from"].bare, m["muc"]["invite"]["from"].bare, m["muc"]["invite"]["reason"]))
        self.add_event_handler("groupchat_message_error", lambda m: tell("room-error", m["from"].full, m["error"]["condition"]))
        self.add_event_handler("groupchat_presence", self.on_occupant)
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            self.add_event_handler("presence_" + kind, lambda p, kind=kind: tell(kind, p["from"].bare))
        for kind in ("available", "away", "chat", "dnd", "xa", "unavailable"):
            self.add_event_handler("presence_" + kind, self.on_presence)

    async def started(self, _):
        tell("started", self.boundjid.full, self["feature_mechanisms"].mech.name, self.transport.get_extra_info("cipher")[1])

    def on_message(self, message):
        delay = message["delay"]["stamp"].isoformat() if message.get_plugin("delay", check=True) else None
        if message["type"] == "error":
            tell("error", message["from"].full, message["error"]["condition"])
        elif message["type"] != "groupchat":
            tell("message", message["from"].bare, message["type"], message["body"], delay)

    def on_occupant(self, presence):
        muc = presence["muc"]
        tell("occupant", presence["from"].full, presence["type"], muc["affiliation"], muc["role"], sorted(muc["status_codes"]))

    def on_presence(self, presence):
        if presence.get_plugin("muc", check=True):
            return
        if presence["from"].bare != self.boundjid.bare:
            tell(presence["type"], presence["from"].full, presence["show"], presence["status"])

    def on_roster_update(self, iq):
        if iq["type"] == "set":
            for jid, item in iq["roster"]["items"].items():
                tell("push", str(jid), item["subscription"], item["ask"] or None, item["name"])

    async def fetch_roster(self):
        iq = await self.get_roster()
        items = {str(j): [i["subscription"], i["ask"] or None, i["name"]] for j, i in iq["roster"]["items"].items()}
        tell("roster", items)

    async def obey(self, command, *args):
        if command == "online":
            self.send_presence(pshow=args[0] if args else None, pstatus=args[1] if len(args) > 1 else None)
        elif command == "offline":
            self.send_presence(ptype="unavailable")
        elif command == "presence":
            self.send_presence(pto=args[0], ptype=args[1])
        elif command == "say":
            self.send_message(mto=args[0], mbody=args[1], mtype="chat")
        elif command == "roster":
            await self.fetch_roster()
        elif command == "add":
            await self.update_roster(args[0], name=args[1])
            tell("added", args[0])
        elif command == "remove":
            await self.del_roster_item(args[0])
            tell("removed", args[0])
        elif command == "ping":
            await self["xep_0199"].send_ping(args[0])
            tell("pong", args[0])
        elif command == "disco":
            found = await self["xep_0030"].get_info(jid=args[0])
            tell("disco", sorted(found["disco_info"]["features"]))
        elif command == "version":
            tell("version", (await self["xep_0092"].get_version(args[0]))["software_version"]["name"])
        elif command == "history":
            found = await self["xep_0313"].retrieve(with_jid=slixmpp.JID(args[0]), rsm={"max": args[1]})
            messages = [result["mam_result"]["forwarded"]["stanza"] for result in found["mam"]["results"]]
            tell("history", [[m["from"].bare, m["body"]] for m in messages])
        elif command == "room-join":
            await self["xep_0045"].join_muc(slixmpp.JID(args[0]), args[1], maxhistory=args[2])
        elif command == "room-leave":
            self["xep_0045"].leave_muc(slixmpp.JID(args[0]), args[1], "bye")
        elif command == "room-say":
            self.send_message(mto=args[0], mbody=args[1], mtype="groupchat")
        elif command == "room-subject":
            self["xep_0045"].set_subject(slixmpp.JID(args[0]), args[1])
        elif command == "room-configure":
            form = await self["xep_0045"].get_room_config(slixmpp.JID(args[0]))
            for name, value in zip(args[1::2], args[2::2]):
                form.get_fields()[name]["value"] = value == "1" if form.get_fields()[name]["type"] == "boolean" else value
            await self["xep_0045"].set_room_config(slixmpp.JID(args[0]), form)
            tell("configured", args[0])
        elif command == "room-invite":
            self["xep_0045"].invite(slixmpp.JID(args[0]), slixmpp.JID(args[1]), args[2])
        elif command == "room-role":
            await self["xep_0045"].set_role(slixmpp.JID(args[0]), args[1], args[2], reason=args[3])
            tell("role", args[1], args[2])
        elif command == "room-affiliation":
            await self["xep_0045"].set_affiliation(slixmpp.JID(args[0]), args[2], jid=slixmpp.JID(args[1]))
            tell("affiliation", args[1], args[2])
        elif command == "room-list":
            tell("list", sorted(str(jid) for jid in await self["xep_0045"].get_affiliation_list(slixmpp.JID(args[0]), args[1])))
        elif command == "rooms":
            found = await self["xep_0030"].get_items(jid=args[0])
            tell("rooms", sorted(str(item[0]) for item in found["disco_items"]["items"]))
        elif command == "room-archive":
            found = await self["xep_0313"].retrieve(jid=slixmpp.JID(args[0]), rsm={"max": args[1]})
            messages = [result["mam_result"]["forwarded"]["stanza"] for result in found["mam"]["results"]]
            tell("archive", [[m["from"].resource, m["body"]] for m in messages if m["body"]])
        elif command == "room-destroy":
            await self["xep_0045"].destroy(slixmpp.JID(args[0]), "done")
            tell("destroyed", args[0])
        elif command == "cut":
            self.transport.abort()
        elif command == "reconnect":
            connect(self)
        elif command == "raw":
            self.send_raw(args[0])
        elif command == "quit":
            await self.disconnect()
            asyncio.get_event_loop().stop()
        elif not EVENTS or not await events.obey(self, tell, command, args):
            raise ValueError("what is that?")

    async def listen(self):
        loop = asyncio.get_event_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                await self.obey(*json.loads(line))
            except PresenceError as error:
                tell("presence-error", error.presence["from"].full, error.condition)
            except IqError as error:
                tell("iq-error", error.condition)
            except Exception as error:
                tell("defect", line.decode(), repr(error))
        loop.stop()


def connect(client):
    if HOW == "tls":
        client.connect((HOST, int(PORT)), use_ssl=True, force_starttls=False, disable_starttls=True)
    else:
        client.connect((HOST, int(PORT)), force_starttls=True)


client = Client()
connect(client)
loop = asyncio.get_event_loop()
strings = loop.create_task(client.listen())
loop.run_forever()
