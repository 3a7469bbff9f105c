// Rows of plain objects as a text or Markdown table. Keys become headings: collectMs → collect ms.

/** Three significant digits, but never fewer than the integer part has. */
function formatNumber(value) {
  if (!Number.isFinite(value)) return '–';
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function formatCell(value) {
  if (value === null || value === undefined) return '–';
  return typeof value === 'number' ? formatNumber(value) : String(value);
}

function heading(key) {
  return key.replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
}

/** An object of numbers as rows: one line each. */
export function pairs(ratios) {
  return Object.entries(ratios).map(([key, value]) => ({ ratio: heading(key), value }));
}

function cells(rows) {
  const keys = Object.keys(rows[0] ?? {});
  return {
    keys,
    head: keys.map(heading),
    body: rows.map((row) => keys.map((key) => formatCell(row[key]))),
    isNumber: keys.map((key) => rows.every((row) => typeof row[key] !== 'string')),
  };
}

/** Columns of spaces, numbers to the right. */
export function formatTable(rows) {
  const { head, body, isNumber } = cells(rows);
  const widths = head.map((_, i) => Math.max(...[head, ...body].map((line) => line[i].length)));
  const pad = (text, i) => (isNumber[i] ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  const rule = widths.map((width) => '─'.repeat(width));
  return [head, rule, ...body].map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}

export function formatMarkdownTable(rows) {
  const { head, body, isNumber } = cells(rows);
  const rule = isNumber.map((number) => (number ? '---:' : '---'));
  return [head, rule, ...body].map((line) => `| ${line.join(' | ')} |`).join('\n');
}
