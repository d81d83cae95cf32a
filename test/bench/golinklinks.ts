// The links of the golink measurements: names that look random, a thousand destinations' hosts and paths, 500 owners.

/** The name of the i-th link. */
export function scaleName(i: number): string {
  return `link-${((i * 2_654_435_761) >>> 0).toString(36)}`;
}

/** As a line of a snapshot. */
export function scaleLine(i: number): string {
  return `${JSON.stringify({
    Short: scaleName(i),
    Long: `https://wiki.example.com/teams/${i % 977}/page/${i.toString(36)}?x=${i % 13}`,
    Created: '2022-01-01T00:00:00Z',
    LastEdit: '2022-01-01T00:00:00Z',
    Owner: `user${i % 500}@example.com`,
  })}\n`;
}
