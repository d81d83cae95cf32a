// The mark: a bay that opens to the right, and a buoy in it.

const SHAPES =
  '<rect width="32" height="32" rx="9" fill="#0b6470"/>' +
  '<path d="M22.6 10.6a8.6 8.6 0 1 0 0 10.8" fill="none" stroke="#fff" stroke-width="3.4" stroke-linecap="round"/>' +
  '<circle cx="20.4" cy="16" r="2.7" fill="#f4b94a"/>';

/** As a file. */
export const FAVICON_SVG: string = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${SHAPES}</svg>`;

/** Inside a page, beside the name of the service. */
export const MARK_SVG: string = `<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">${SHAPES}</svg>`;

/** The same drawn at 16 by 16 pixels, for those who take no SVG (OpenSearch). */
export const FAVICON_PNG: Uint8Array = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAYAAAAf8/9hAAACNklEQVR4nJRTS2gTURQ9dzJp82vTEEyrQQnF1EaxooUGVDSl4qeC' +
    'oKC1dJOS6EIKqTtFLHUh+FnowoUoxbaIICq4sSiIWAU/ZGGDGD9Ig+LCoNUYTDTNTJ5vps7YCYPQAzO8OXPvfee8e58IBdGozSm6' +
    'TzNG3SAECBBhAgZIxFgGRHcKUu4oRkd/k70/ERYEjHFyBRYChtcMcp9IArrNkutstVje6FPXUx8/gTFmDCCEAMsukcvtmc9buJyz' +
    '+3fjYOdGnSuUZnHl8VMcuX67SgXbIbI5zzpuDMSxdXUImS8zuPcyjZIkIdIaxMCWzWhy1yN6afyfCKJWroBqNeJQ1yY1+VZyCvGR' +
    'qyjLshaIi9Fe7AuvQ4PDjlzxl5biJmd8UDf37swwt0BoO3ZSla3BY5Xhs0uQ7X68z341uBC0xaI6F5Z43JhIvTIku8QKkjszeLTt' +
    'A9rt06iG3m9BmKslVSqGgFKF8D/oBbI/8uqzPtgMgXuu/G1bmRcITwS4BRl5oZEzOXMLCs7dfYBV/sW4HOuD1WLR+W9lKwb39CN9' +
    '6ji8Lqe5AgUX7k+ic2ULesLt6GgOqG2clWREQkG0LfVjZPIJZn4WDAXIGUu8qZ7EA5ENOLy9C8u8HvU7xSdRUXcz+cKQzKfzOTli' +
    'iRO8z0MwQUuTj08s4e3nrNlv5XINEfYO1zjqvz/jRdZiAeBnnCrmGzosSD+Uy2tCYzWCzcVZLyNyU9XhzttR4q9p3qTxopzrxbXz' +
    'pT8AAAD//0JOx6MAAAAGSURBVAMAR8K4WGsmtLIAAAAASUVORK5CYII=',
  'base64',
);
