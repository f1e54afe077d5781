// How texts are compared in searching and sorting.

/** Text as it is compared: RFC 5255's i;unicode-casemap in spirit, so case does not matter, nor how a letter is composed. */
export const fold = (text: string): string => text.normalize('NFKC').toLowerCase()
