// The folder that relative paths in the config start from.

import { resolve } from 'node:path'
import { type Scope, serviceKey } from '../scope.ts'

/** The folder of the config file. */
export const ConfigFolder = serviceKey<string>('config-folder')

/** `path` of the config, made absolute. */
export const configPath = (scope: Scope, path: string): string => resolve(scope.find(ConfigFolder) ?? '.', path)
