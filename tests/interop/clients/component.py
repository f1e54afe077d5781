"""A component: says back what it hears, and answers disco. Arguments: domain, secret, host, port."""

import sys

from slixmpp.componentxmpp import ComponentXMPP


class Echo(ComponentXMPP):
    def __init__(self, domain, secret, host, port):
        super().__init__(domain, secret, host, int(port))
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self["xep_0030"].add_identity(category="component", itype="generic", name="Echo")
        self.add_event_handler("session_start", lambda _: print("connected", flush=True))
        self.add_event_handler("failed_auth", lambda _: print("refused", flush=True))
        self.add_event_handler("message", self.echo)
        self.add_event_handler("presence_subscribe", self.subscribe)

    def echo(self, message):
        if message["type"] in ("chat", "normal"):
            self.send_message(mto=message["from"], mfrom=message["to"], mbody=message["body"] + "!", mtype="chat")

    def subscribe(self, presence):
        self.send_presence(pto=presence["from"], pfrom=presence["to"].bare, ptype="subscribed")
        self.send_presence(pto=presence["from"], pfrom=presence["to"].bare)


echo = Echo(*sys.argv[1:5])
echo.connect()
echo.loop.run_forever()
