// XEP-0060: the namespaces of publish-subscribe

export const PUBSUB = 'http://jabber.org/protocol/pubsub'
export const OWNER = `${PUBSUB}#owner`
export const EVENT = `${PUBSUB}#event`
export const PUBSUB_ERRORS = `${PUBSUB}#errors`
export const NODE_CONFIG = `${PUBSUB}#node_config`
export const PUBLISH_OPTIONS = `${PUBSUB}#publish-options`
export const SUBSCRIBE_OPTIONS = `${PUBSUB}#subscribe_options`
export const SUBSCRIBE_AUTHORIZATION = `${PUBSUB}#subscribe_authorization`
export const META_DATA = `${PUBSUB}#meta-data`
export const RSM = 'http://jabber.org/protocol/rsm'
