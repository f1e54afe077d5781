// UTS #39 §4: what a name looks like. The look-alikes of the letters that names are made of; not the whole of Unicode's table.

/** Each line: what is looked like, and by what. From the prototypes of UTS #39, lower case. */
const LOOKS_LIKE = `
a аɑαа
b Ьƅ
c сϲⅽᴄ
d ԁɗ
e еҽє℮
f ϝſքẝ
g ɡցɢ
h һհ
i іı1l|ι¡ӏɩ
j јϳʝ
k кκᴋ
n ոռпη
o оο0օօσ๐૦௦०᧐ჿ
p рρϱᴩ
q ԛգզ
r гᴦ
s ѕꜱƽ
t тτᴛ
u υսᴜцʋ
v νѵᴠט
w ԝѡաᴡω
x хχ×
y уγүყʏ
z ᴢʐ
2 ƨ
3 зӡʒ
6 б
`

const PROTOTYPES: ReadonlyMap<string, string> = new Map(
  LOOKS_LIKE.trim()
    .split('\n')
    .flatMap((line) => {
      const [prototype = '', others = ''] = line.split(' ')
      return [...others].map((other) => [other, prototype] as const)
    }),
)

/** Names that look alike have the same skeleton. For names in their one spelling (lower case, NFC). */
export function skeleton(name: string): string {
  let out = ''
  for (const character of name.normalize('NFD')) out += PROTOTYPES.get(character) ?? character
  return out.replaceAll('rn', 'm').replaceAll('vv', 'w').replaceAll('ci', 'd').normalize('NFD')
}
