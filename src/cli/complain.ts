/** Writes a line about an error to stderr. Some messages of the library name it already. */
export function complain(message: string): void {
  process.stderr.write(`safeexec: ${message.replace(/^safeexec: /, '')}\n`);
}
