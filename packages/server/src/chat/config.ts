// The `chat` part of the config.

import * as v from 'valibot'
import { moduleMap, moduleOverrides } from '../kernel/config/modules.ts'
import type { Registry } from '../kernel/module.ts'
import { features } from './core/contracts.ts'
import { coreConfig, hostConfig } from './core/settings.ts'
import { domainSetting } from './domain-setting.ts'
import { chatFeatures } from './modules.ts'
import { s2sConfig } from './s2s/config.ts'

export const chatConfig = (registry: Registry) =>
  v.strictObject({
    ...coreConfig.entries,
    s2s: v.optional(s2sConfig, {}),
    features: moduleMap(registry, features, Object.fromEntries(chatFeatures.map(({ name }) => [name, true]))),
    hosts: v.optional(
      v.pipe(
        v.record(
          domainSetting('example.org'),
          v.strictObject({ ...hostConfig.entries, features: moduleOverrides(registry, features) }),
        ),
        v.description('domains with settings of their own; what a domain does not set is as for all'),
      ),
      {},
    ),
  })

export type ChatConfig = v.InferOutput<ReturnType<typeof chatConfig>>
