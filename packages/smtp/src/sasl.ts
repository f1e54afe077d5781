// The shape of a SASL exchange, as AUTH drives it. The mechanisms of the `sasl` package have it; so may anybody's.

/** RFC 4422: the server's side of one exchange. */
export interface ServerMechanism {
  /** Takes the client's response (empty when the client has said nothing yet), returns what to say. */
  next(response: Uint8Array): Promise<ServerStep>
}

export type ServerStep =
  | { readonly kind: 'challenge'; readonly data: Uint8Array }
  | {
      readonly kind: 'success'
      readonly data?: Uint8Array | undefined
      readonly identity: { readonly authcid: string; readonly authzid: string }
    }
  | { readonly kind: 'failure'; readonly condition: string; readonly text?: string | undefined }
