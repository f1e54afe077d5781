// XEP-0004: Data Forms, the part of them that a server needs

import { type Child, el, type Element } from '@aviso/xmpp'

export const FORMS = 'jabber:x:data'

export type FieldType =
  | 'boolean'
  | 'fixed'
  | 'hidden'
  | 'jid-multi'
  | 'jid-single'
  | 'list-multi'
  | 'list-single'
  | 'text-multi'
  | 'text-private'
  | 'text-single'

export interface Field {
  /** Not for `fixed` text. */
  readonly name?: string
  readonly type: FieldType
  readonly label?: string
  readonly required?: boolean
  readonly values?: readonly string[]
  readonly options?: readonly { readonly value: string; readonly label?: string }[]
}

export interface FormText {
  readonly title?: string | undefined
  readonly instructions?: string | undefined
  /** The value of FORM_TYPE (XEP-0068). */
  readonly formType?: string | undefined
}

const element = ({ name, type, label, required, values = [], options = [] }: Field): Element =>
  el(
    'field',
    { var: name, type, label },
    required === true && el('required'),
    ...values.map((value) => el('value', {}, value)),
    // Some clients show an option without a label as none (profanity: "(null)").
    ...options.map(({ value, label = value }) => el('option', { label }, el('value', {}, value))),
  )

const head = ({ title, instructions, formType }: FormText): Child[] => [
  title !== undefined && el('title', {}, title),
  instructions !== undefined && el('instructions', {}, instructions),
  formType !== undefined && element({ name: 'FORM_TYPE', type: 'hidden', values: [formType] }),
]

/** A form to be filled in. */
export const form = (text: FormText, fields: readonly Field[]): Element =>
  el('x', { xmlns: FORMS, type: 'form' }, ...head(text), ...fields.map(element))

/** A form that tells something. */
export const result = (text: FormText, fields: readonly Field[]): Element =>
  el('x', { xmlns: FORMS, type: 'result' }, ...head(text), ...fields.map(element))

/** A form that tells a table (XEP-0004 §3.4). */
export const table = (
  text: FormText,
  columns: readonly { readonly name: string; readonly label: string }[],
  rows: readonly (readonly string[])[],
): Element =>
  el(
    'x',
    { xmlns: FORMS, type: 'result' },
    ...head(text),
    el('reported', {}, ...columns.map(({ name, label }) => el('field', { var: name, label, type: 'text-single' }))),
    ...rows.map((row) =>
      el(
        'item',
        {},
        ...columns.map(({ name }, index) => el('field', { var: name }, el('value', {}, row[index] ?? ''))),
      ),
    ),
  )

/** A form that was filled in. */
export class Submission {
  readonly #values = new Map<string, readonly string[]>()

  /** Reads the form among the children of `parent`; undefined where there is none, or it was not submitted. */
  static of(parent: Element): Submission | undefined {
    const x = parent.child('x', FORMS)
    return x?.get('type') === 'submit' ? new Submission(x) : undefined
  }

  constructor(x: Element) {
    for (const field of x.childrenNamed('field')) {
      const name = field.get('var')
      if (name !== undefined)
        this.#values.set(
          name,
          field.childrenNamed('value').map((value) => value.text()),
        )
    }
  }

  get formType(): string | undefined {
    return this.text('FORM_TYPE')
  }

  /** True where the form says something of the field, be it nothing. */
  has(name: string): boolean {
    return this.#values.has(name)
  }

  /** The one value of a field; undefined where it is missing or empty. */
  text(name: string): string | undefined {
    const value = this.#values.get(name)?.[0]
    return value === '' ? undefined : value
  }

  /** All values: the lines of `text-multi`, the choices of `list-multi`. */
  list(name: string): readonly string[] {
    return (this.#values.get(name) ?? []).filter((value) => value !== '')
  }

  flag(name: string): boolean {
    const value = this.text(name)
    return value === '1' || value === 'true'
  }
}
