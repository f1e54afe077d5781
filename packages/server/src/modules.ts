// Every module of the house: what the config can switch on. A new check, feature or endpoint is added to its list here.

import { tableModules } from './accounts/tables/modules.ts'
import { type AnyModule, Registry } from './kernel/module.ts'
import { metricsEndpoint } from './net/metrics-endpoint.ts'
import { http } from './net/web/endpoint.ts'
import { mailModules } from './mail/modules.ts'
import { chatModules } from './chat/modules.ts'

/** In the order of the reference page. */
export const modules: readonly AnyModule[] = [http, metricsEndpoint, ...tableModules, ...mailModules, ...chatModules]

export const registry = new Registry(modules)
