// Octets that move between threads instead of being copied: what `Moves` in contracts.ts says, for the messages that carry them.

/** The memory of those octets that have some, each once: the transfer list of a message. */
export function memoryOf(octets: readonly (Uint8Array | undefined)[]): readonly ArrayBuffer[] {
  const memory = new Set<ArrayBuffer>()
  for (const bytes of octets)
    if (bytes !== undefined && bytes.buffer instanceof ArrayBuffer && isWhole(bytes)) memory.add(bytes.buffer)
  return [...memory]
}

/** A view of a part is copied: the rest may be somebody else's. So is what has moved away already. */
const isWhole = ({ buffer, byteLength }: Uint8Array): boolean => byteLength > 0 && byteLength === buffer.byteLength

/** Gives the memory back to the system now; views of it are empty afterwards. */
export function free(memory: ArrayBuffer): void {
  memory.transfer(0)
}
