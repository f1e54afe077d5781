"""Personal events (XEP-0163) for the client of chat.py: avatars, bookmarks, device lists and bundles."""

import hashlib
from xml.etree import ElementTree

DEVICES = "eu.siacs.conversations.axolotl.devicelist"
BUNDLES_0 = "eu.siacs.conversations.axolotl.bundles:"
OMEMO_2 = "urn:xmpp:omemo:2"
BUNDLES_2 = OMEMO_2 + ":bundles"
BOOKMARKS = "urn:xmpp:bookmarks:1"
OPTIONS = "http://jabber.org/protocol/pubsub#publish-options"


def register(client, tell, photos):
    # A client with xep_0153 says of itself what avatar it has: the server leaves that as it is.
    if photos:
        client.register_plugin("xep_0153")
    for plugin in ("xep_0054", "xep_0048", "xep_0049", "xep_0060", "xep_0084", "xep_0115", "xep_0163", "xep_0172"):
        client.register_plugin(plugin)
    client["xep_0060"].map_node_event(DEVICES, "devices")
    client["xep_0060"].map_node_event(BOOKMARKS, "bookmarks")

    def on_metadata(message):
        info = message["pubsub_event"]["items"]["item"]["avatar_metadata"]["items"]
        tell("avatar", message["from"].bare, [each["id"] for each in info])

    def on_items(name):
        def told(message):
            # Not by iterating: slixmpp is doing so, and there is one position for all.
            items = message["pubsub_event"]["items"]["substanzas"]
            tell(name, message["from"].bare, [item["id"] for item in items])

        return told

    client.add_event_handler("avatar_metadata_publish", on_metadata)
    client.add_event_handler("devices_publish", on_items("devices"))
    client.add_event_handler("bookmarks_publish", on_items("bookmarks"))
    client.add_event_handler("bookmarks_retract", on_items("bookmarks-gone"))
    client.add_event_handler("vcard_avatar_update", lambda p: tell("photo", p["from"].bare, p["vcard_temp_update"]["photo"]))
    client.add_event_handler("session_start", lambda _: client["xep_0163"].add_interest([DEVICES, BOOKMARKS]))


def options(client, fields):
    form = client["xep_0004"].make_form(ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value=OPTIONS)
    for name, value in fields.items():
        form.add_field(var="pubsub#" + name, value=value)
    return form


async def obey(client, tell, command, args):
    """Does what is asked for; False where this is not known here."""
    pubsub = client["xep_0060"]
    if command == "set-avatar":
        picture = args[0].encode()
        digest = hashlib.sha1(picture).hexdigest()
        await client["xep_0084"].publish_avatar(picture)
        info = {"id": digest, "type": "image/png", "bytes": len(picture)}
        await client["xep_0084"].publish_avatar_metadata(items=[info])
        tell("avatar-set", digest)
    elif command == "get-avatar":
        result = await client["xep_0084"].retrieve_avatar(args[0], args[1])
        tell("picture", result["pubsub"]["items"]["item"]["avatar_data"]["value"].decode())
    elif command == "get-card":
        result = await client["xep_0054"].get_vcard(jid=args[0], cached=False)
        card = result["vcard_temp"]
        tell("card", card["FN"], bytes(card["PHOTO"]["BINVAL"]).decode() if card["PHOTO"]["BINVAL"] else None)
    elif command == "set-card":
        card = client["xep_0054"].make_vcard()
        card["FN"] = args[0]
        card["PHOTO"]["TYPE"] = "image/png"
        card["PHOTO"]["BINVAL"] = args[1].encode()
        await client["xep_0054"].publish_vcard(vcard=card)
        tell("card-set")
    elif command == "set-devices":
        xml = ElementTree.fromstring("<list xmlns='eu.siacs.conversations.axolotl'><device id='%s'/></list>" % args[0])
        form = options(client, {"access_model": args[1], "persist_items": "true", "max_items": "1"})
        await pubsub.publish(client.boundjid.bare, DEVICES, id="current", payload=xml, options=form)
        tell("devices-set")
    elif command == "get-devices":
        result = await pubsub.get_items(args[0], DEVICES)
        devices = [item["payload"][0].get("id") for item in result["pubsub"]["items"]]
        tell("device-list", args[0], devices)
    elif command == "set-bundle":
        # Of the two kinds of OMEMO: a node for each device, and one node with an item for each.
        old, device, key = args[0] == "old", args[1], args[2]
        node, item = (BUNDLES_0 + device, "current") if old else (BUNDLES_2, device)
        xml = ElementTree.fromstring("<bundle xmlns='%s'><ik>%s</ik></bundle>" % ("eu.siacs.conversations.axolotl" if old else OMEMO_2, key))
        fields = {"access_model": "open", "persist_items": "true"} if old else {"access_model": "open", "persist_items": "true", "max_items": "max"}
        await pubsub.publish(client.boundjid.bare, node, id=item, payload=xml, options=options(client, fields))
        tell("bundle-set")
    elif command == "get-bundle":
        old, device = args[1] == "old", args[2]
        node, items = (BUNDLES_0 + device, None) if old else (BUNDLES_2, [device])
        result = await pubsub.get_items(args[0], node, item_ids=items)
        tell("bundle", [[item["id"], item["payload"][0].text] for item in result["pubsub"]["items"]])
    elif command == "open-devices":
        form = await pubsub.get_node_config(client.boundjid.bare, DEVICES)
        form = form["pubsub_owner"]["configure"]["form"]
        values = form.get_values()
        values["pubsub#access_model"] = args[0]
        form["type"] = "submit"
        form.set_values(values)
        await pubsub.set_node_config(client.boundjid.bare, DEVICES, form)
        tell("devices-opened")
    elif command == "bookmark":
        xml = ElementTree.fromstring("<conference xmlns='%s' autojoin='true'><nick>%s</nick></conference>" % (BOOKMARKS, args[1]))
        fields = {"persist_items": "true", "max_items": "max", "send_last_published_item": "never", "access_model": "whitelist"}
        await pubsub.publish(client.boundjid.bare, BOOKMARKS, id=args[0], payload=xml, options=options(client, fields))
        tell("bookmarked", args[0])
    elif command == "unbookmark":
        await pubsub.retract(client.boundjid.bare, BOOKMARKS, args[0], notify="1")
        tell("unbookmarked", args[0])
    elif command == "get-bookmarks":
        result = await client["xep_0048"].get_bookmarks(method=args[0])
        found = result["private"]["bookmarks"] if args[0] == "xep_0049" else result["pubsub"]["items"]["item"]["bookmarks"]
        tell("bookmark-list", [[str(c["jid"]), c["nick"]] for c in found["conferences"]])
    elif command == "set-bookmarks":
        from slixmpp.plugins.xep_0048.stanza import Bookmarks

        marks = Bookmarks()
        for jid in args[1:]:
            marks.add_conference(jid, "Puck")
        await client["xep_0048"].set_bookmarks(marks, method=args[0])
        tell("bookmarks-set")
    elif command == "get-native":
        result = await pubsub.get_items(client.boundjid.bare, BOOKMARKS)
        tell("native", [item["id"] for item in result["pubsub"]["items"]])
    elif command == "nickname":
        await client["xep_0172"].publish_nick(args[0])
        tell("nicknamed")
    else:
        return False
    return True
