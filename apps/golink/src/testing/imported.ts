// Links for tests of imports and of search.

/** The i-th link as a line of a snapshot. */
export function importedLine(i: number): string {
  return `${JSON.stringify({
    Short: `Name-${(i * 7_919) % 100_003}`,
    Long: `https://wiki.example.com/teams/${i % 97}/page/${i.toString(36)}`,
    Owner: `user${i % 50}@example.com`,
  })}\n`;
}
