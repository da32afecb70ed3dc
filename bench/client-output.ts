/** Reads what other people's clients print. */

/** The average that `iscsi-perf` ends with. */
export function iscsiPerfIops(stdout: string): number {
  return numberIn(stdout, /\riops average (\d+)/, 'iscsi-perf')
}

/** How long `qemu-img bench` took. */
export function qemuSeconds(stdout: string): number {
  return numberIn(stdout, /^Run completed in ([\d.]+) seconds\.$/m, 'qemu-img bench')
}

/** The last line of bash's `time` with `TIMEFORMAT="cpu %U %S"`: seconds of user and system time. */
export function timedCpuUs(stderr: string): number {
  const times = /^cpu ([\d.]+) ([\d.]+)$/m.exec(stderr)
  if (!times) throw new Error(`the shell gave no times:\n${stderr}`)
  return (Number(times[1]) + Number(times[2])) * 1e6
}

/** One line of all that a client said that failed: the error that it names, or its last words. */
export function failureIn(output: string): string {
  const lines = output.split(/[\r\n]+/).filter((line) => line.trim() !== '' && !line.startsWith('cpu '))
  return (lines.find((line) => /error: /i.test(line)) ?? lines.at(-1) ?? 'it failed without a word').trim()
}

function numberIn(text: string, pattern: RegExp, who: string): number {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`${who} gave no result:\n${text}`)
  return Number(found)
}
