// Character references of HTML: those that mail holds (HTML 4 §24, and of HTML 5 punctuation and the letters of Europe).

/** Of the first code point and the names from there on; `-` where a code point has none. */
const RUNS: readonly string[] = [
  '160 nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest',
  '192 Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig',
  '224 agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml',
  '913 Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho - Sigma Tau Upsilon Phi Chi Psi Omega',
  '945 alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf sigma tau upsilon phi chi psi omega',
  '977 thetasym upsih - - - piv',
  '256 Amacr amacr Abreve abreve Aogon aogon Cacute cacute Ccirc ccirc Cdot cdot Ccaron ccaron Dcaron dcaron Dstrok dstrok Emacr emacr - - Edot edot Eogon eogon Ecaron ecaron Gcirc gcirc Gbreve gbreve',
  '298 Imacr imacr - - Iogon iogon Idot imath - - - - Kcedil kcedil - Lacute lacute Lcedil lcedil Lcaron lcaron - - Lstrok lstrok Nacute nacute Ncedil ncedil Ncaron ncaron',
  '332 Omacr omacr - - Odblac odblac OElig oelig Racute racute Rcedil rcedil Rcaron rcaron Sacute sacute Scirc scirc Scedil scedil Scaron scaron Tcedil tcedil Tcaron tcaron',
  '362 Umacr umacr - - Uring uring Udblac udblac Uogon uogon - - - - Yuml Zacute zacute Zdot zdot Zcaron zcaron',
  '402 fnof',
  '710 circ caron',
  '732 tilde',
  '8194 ensp emsp',
  '8201 thinsp hairsp - zwnj zwj lrm rlm hyphen - - ndash mdash horbar - - lsquo rsquo sbquo - ldquo rdquo bdquo - dagger Dagger bull - - - hellip',
  '8240 permil - prime Prime',
  '8249 lsaquo rsaquo',
  '8254 oline',
  '8260 frasl',
  '8364 euro',
  '8465 image',
  '8470 numero',
  '8472 weierp',
  '8476 real',
  '8482 trade',
  '8501 alefsym',
  '8592 larr uarr rarr darr harr',
  '8629 crarr',
  '8656 lArr uArr rArr dArr hArr',
  '8704 forall - part exist - empty - nabla isin notin - ni - - - prod - sum minus',
  '8727 lowast - - radic - - prop infin - ang',
  '8743 and or cap cup int',
  '8756 there4',
  '8764 sim',
  '8773 cong',
  '8776 asymp',
  '8800 ne equiv - - le ge',
  '8834 sub sup nsub - sube supe',
  '8853 oplus - otimes',
  '8869 perp',
  '8901 sdot',
  '8968 lceil rceil lfloor rfloor',
  '9674 loz',
  '9733 starf star',
  '9742 phone',
  '9824 spades - - clubs - hearts diams',
  '10003 check',
  '10007 cross',
  '10216 lang rang',
  '9 Tab NewLine',
  '33 excl quot num dollar percnt amp apos lpar rpar ast plus comma - period sol',
  '58 colon semi lt equals gt quest commat',
  '91 lsqb bsol rsqb Hat lowbar grave',
  '123 lcub verbar rcub',
  '38 AMP',
  '60 LT',
  '62 GT',
  '34 QUOT',
  '169 COPY',
  '174 REG',
]

/** HTML 5 §13.2.5.73 knows these without their semicolon too: browsers always did. */
const BARE = /^(?:[aA][mM][pP]|[lLgG][tT]|quot|QUOT|COPY|REG)$/
const LATIN_1 = /^[\u00a0-\u00ff]$/

/** Text of each name. */
const NAMED: ReadonlyMap<string, string> = new Map(
  RUNS.flatMap((run) => {
    const [first, ...names] = run.split(' ')
    return names.map((name, i) => [name, String.fromCodePoint(Number(first) + i)] as const)
  }).filter(([name]) => name !== '-'),
)

/** Digits and names are bounded, so that a scan stays linear. */
const REFERENCE = /&(?:#0{0,9}(\d{1,7})|#[xX]0{0,9}([0-9a-fA-F]{1,6})|([a-zA-Z][a-zA-Z0-9]{1,31}))(;?)/g

/** Text with its character references resolved. What is not known stays as it is. */
export function decodeEntities(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(REFERENCE, (whole, decimal, hex, name, semicolon) => {
    if (name === undefined)
      return character(decimal === undefined ? parseInt(String(hex), 16) : parseInt(String(decimal), 10))
    const known = NAMED.get(String(name))
    if (known === undefined) return whole
    return semicolon === ';' || BARE.test(String(name)) || LATIN_1.test(known) ? known : whole
  })
}

const windows1252 = new TextDecoder('windows-1252')

/** HTML 5 §13.2.5.80: numbers of C1 controls mean Windows-1252, and what is no character shows as one that was lost. */
function character(code: number): string {
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd'
  if (code >= 0x80 && code <= 0x9f) return windows1252.decode(Uint8Array.of(code))
  return String.fromCodePoint(code)
}
