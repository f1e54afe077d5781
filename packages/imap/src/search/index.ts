// What a mail store needs to answer text searches as this library would.

export { fold } from './fold.ts'
export { bodyContains, bodyTexts, HeaderText, matchesText } from './message-text.ts'
