// Every module of the house: what the config can switch on. A new check, feature or endpoint is added to its list here.

import { tableModules } from './accounts/tables/modules.ts'
import { Registry } from './kernel/module.ts'
import { metricsEndpoint } from './net/metrics-endpoint.ts'
import { http } from './net/web/endpoint.ts'
import { mailModules } from './mail/modules.ts'
import { chatModules } from './chat/modules.ts'

export const registry = new Registry([http, metricsEndpoint, ...tableModules, ...mailModules, ...chatModules])
