// The operations of the text index, as the mail store lists them.

export { searchCatchUp, searchReindex } from './catch-up.ts'
export { checkTextIndex } from './check.ts'
export {
  searchEmails,
  searchFresh,
  searchIndex,
  searchMessages,
  searchOctets,
  searchReach,
  searchUids,
} from './queries.ts'
