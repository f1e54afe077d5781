// How texts are compared in searching and sorting.

/** Text as it is compared: RFC 5255's i;unicode-casemap in spirit, so case does not matter, nor how a letter is composed, nor what stands between letters unseen. */
export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase()
  // The two small sigmas are one capital letter: lower case alone would tell them apart by their place in the word.
  return text.normalize('NFKC').toLowerCase().replaceAll('ς', 'σ').replace(UNSEEN, '')
}

/** In which a letter is composed in one way only, and everything is seen. */
const ASCII = /^[\0-\x7f]*$/

/** Soft hyphens, zero-width joiners and spaces, variation selectors: text editors and newsletters put them into words. */
const UNSEEN = /\p{Default_Ignorable_Code_Point}+/gu
