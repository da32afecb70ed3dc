/*
 * The tables of the stringprep profile for iSCSI names (RFC 3722 on RFC 3454), which are frozen at Unicode 3.2: what a
 * name is must not change with the Unicode version of the runtime. Code points and ranges in hexadecimal.
 */

/** A sorted set of code points. */
export class CodePointSet {
  /** First and last code point of each range in turn. */
  readonly #bounds: Uint32Array

  constructor(ranges: string) {
    const bounds = ranges
      .trim()
      .split(/\s+/)
      .flatMap((range) => {
        const [first = '', last = first] = range.split('-')
        return [Number.parseInt(first, 16), Number.parseInt(last, 16)]
      })
    this.#bounds = Uint32Array.from(bounds)
  }

  has(codePoint: number): boolean {
    const bounds = this.#bounds
    let low = 0
    let high = bounds.length / 2
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((bounds[2 * middle + 1] as number) < codePoint) low = middle + 1
      else high = middle
    }
    return low < bounds.length / 2 && (bounds[2 * low] as number) <= codePoint
  }
}

/** Table B.1: commonly mapped to nothing. */
export const mappedToNothing = new CodePointSet(`
  00ad 034f 1806 180b-180d 200b-200d 2060 fe00-fe0f feff
`)

/** Tables C.1.1 to C.9, and what RFC 3722 §6.1 and §6.2 add: the ideographic full stop and most of ASCII. */
export const prohibited = new CodePointSet(`
  0000-002c 002f 003b-0040 005b-0060 007b-00a0 0340-0341 06dd 070f 1680 180e 2000-200f 2028-202f 205f-2063
  206a-206f 2ff0-2ffb 3000 3002 d800-f8ff fdd0-fdef feff fff9-ffff 1d173-1d17a 1fffe-1ffff 2fffe-2ffff
  3fffe-3ffff 4fffe-4ffff 5fffe-5ffff 6fffe-6ffff 7fffe-7ffff 8fffe-8ffff 9fffe-9ffff afffe-affff bfffe-bffff
  cfffe-cffff dfffe-dffff e0001 e0020-e007f efffe-10ffff
`)

/** Table D.1: characters written from right to left. */
export const rightToLeft = new CodePointSet(`
  05be 05c0 05c3 05d0-05ea 05f0-05f4 061b 061f 0621-063a 0640-064a 066d-066f 0671-06d5 06dd 06e5-06e6
  06fa-06fe 0700-070d 0710 0712-072c 0780-07a5 07b1 200f fb1d fb1f-fb28 fb2a-fb36 fb38-fb3c fb3e fb40-fb41
  fb43-fb44 fb46-fbb1 fbd3-fd3d fd50-fd8f fd92-fdc7 fdf0-fdfc fe70-fe74 fe76-fefc
`)

/** Table A.1: code points that Unicode 3.2 does not know. */
export const unassigned = new CodePointSet(`
  0221 0234-024f 02ae-02af 02ef-02ff 0350-035f 0370-0373 0376-0379 037b-037d 037f-0383 038b 038d 03a2 03cf
  03f7-03ff 0487 04cf 04f6-04f7 04fa-04ff 0510-0530 0557-0558 0560 0588 058b-0590 05a2 05ba 05c5-05cf
  05eb-05ef 05f5-060b 060d-061a 061c-061e 0620 063b-063f 0656-065f 06ee-06ef 06ff 070e 072d-072f 074b-077f
  07b2-0900 0904 093a-093b 094e-094f 0955-0957 0971-0980 0984 098d-098e 0991-0992 09a9 09b1 09b3-09b5
  09ba-09bb 09bd 09c5-09c6 09c9-09ca 09ce-09d6 09d8-09db 09de 09e4-09e5 09fb-0a01 0a03-0a04 0a0b-0a0e
  0a11-0a12 0a29 0a31 0a34 0a37 0a3a-0a3b 0a3d 0a43-0a46 0a49-0a4a 0a4e-0a58 0a5d 0a5f-0a65 0a75-0a80 0a84
  0a8c 0a8e 0a92 0aa9 0ab1 0ab4 0aba-0abb 0ac6 0aca 0ace-0acf 0ad1-0adf 0ae1-0ae5 0af0-0b00 0b04 0b0d-0b0e
  0b11-0b12 0b29 0b31 0b34-0b35 0b3a-0b3b 0b44-0b46 0b49-0b4a 0b4e-0b55 0b58-0b5b 0b5e 0b62-0b65 0b71-0b81
  0b84 0b8b-0b8d 0b91 0b96-0b98 0b9b 0b9d 0ba0-0ba2 0ba5-0ba7 0bab-0bad 0bb6 0bba-0bbd 0bc3-0bc5 0bc9
  0bce-0bd6 0bd8-0be6 0bf3-0c00 0c04 0c0d 0c11 0c29 0c34 0c3a-0c3d 0c45 0c49 0c4e-0c54 0c57-0c5f 0c62-0c65
  0c70-0c81 0c84 0c8d 0c91 0ca9 0cb4 0cba-0cbd 0cc5 0cc9 0cce-0cd4 0cd7-0cdd 0cdf 0ce2-0ce5 0cf0-0d01 0d04
  0d0d 0d11 0d29 0d3a-0d3d 0d44-0d45 0d49 0d4e-0d56 0d58-0d5f 0d62-0d65 0d70-0d81 0d84 0d97-0d99 0db2 0dbc
  0dbe-0dbf 0dc7-0dc9 0dcb-0dce 0dd5 0dd7 0de0-0df1 0df5-0e00 0e3b-0e3e 0e5c-0e80 0e83 0e85-0e86 0e89
  0e8b-0e8c 0e8e-0e93 0e98 0ea0 0ea4 0ea6 0ea8-0ea9 0eac 0eba 0ebe-0ebf 0ec5 0ec7 0ece-0ecf 0eda-0edb
  0ede-0eff 0f48 0f6b-0f70 0f8c-0f8f 0f98 0fbd 0fcd-0fce 0fd0-0fff 1022 1028 102b 1033-1035 103a-103f
  105a-109f 10c6-10cf 10f9-10fa 10fc-10ff 115a-115e 11a3-11a7 11fa-11ff 1207 1247 1249 124e-124f 1257 1259
  125e-125f 1287 1289 128e-128f 12af 12b1 12b6-12b7 12bf 12c1 12c6-12c7 12cf 12d7 12ef 130f 1311 1316-1317
  131f 1347 135b-1360 137d-139f 13f5-1400 1677-167f 169d-169f 16f1-16ff 170d 1715-171f 1737-173f 1754-175f
  176d 1771 1774-177f 17dd-17df 17ea-17ff 180f 181a-181f 1878-187f 18aa-1dff 1e9c-1e9f 1efa-1eff 1f16-1f17
  1f1e-1f1f 1f46-1f47 1f4e-1f4f 1f58 1f5a 1f5c 1f5e 1f7e-1f7f 1fb5 1fc5 1fd4-1fd5 1fdc 1ff0-1ff1 1ff5 1fff
  2053-2056 2058-205e 2064-2069 2072-2073 208f-209f 20b2-20cf 20eb-20ff 213b-213c 214c-2152 2184-218f
  23cf-23ff 2427-243f 244b-245f 24ff 2614-2615 2618 267e-267f 268a-2700 2705 270a-270b 2728 274c 274e
  2753-2755 2757 275f-2760 2795-2797 27b0 27bf-27cf 27ec-27ef 2b00-2e7f 2e9a 2ef4-2eff 2fd6-2fef 2ffc-2fff
  3040 3097-3098 3100-3104 312d-3130 318f 31b8-31ef 321d-321f 3244-3250 327c-327e 32cc-32cf 32ff 3377-337a
  33de-33df 33ff 4db6-4dff 9fa6-9fff a48d-a48f a4c7-abff d7a4-d7ff fa2e-fa2f fa6b-faff fb07-fb12 fb18-fb1c
  fb37 fb3d fb3f fb42 fb45 fbb2-fbd2 fd40-fd4f fd90-fd91 fdc8-fdcf fdfd-fdff fe10-fe1f fe24-fe2f fe47-fe48
  fe53 fe67 fe6c-fe6f fe75 fefd-fefe ff00 ffbf-ffc1 ffc8-ffc9 ffd0-ffd1 ffd8-ffd9 ffdd-ffdf ffe7 ffef-fff8
  10000-102ff 1031f 10324-1032f 1034b-103ff 10426-10427 1044e-1cfff 1d0f6-1d0ff 1d127-1d129 1d1de-1d3ff 1d455
  1d49d 1d4a0-1d4a1 1d4a3-1d4a4 1d4a7-1d4a8 1d4ad 1d4ba 1d4bc 1d4c1 1d4c4 1d506 1d50b-1d50c 1d515 1d51d 1d53a
  1d53f 1d545 1d547-1d549 1d551 1d6a4-1d6a7 1d7ca-1d7cd 1d800-1fffd 2a6d7-2f7ff 2fa1e-2fffd 30000-3fffd
  40000-4fffd 50000-5fffd 60000-6fffd 70000-7fffd 80000-8fffd 90000-9fffd a0000-afffd b0000-bfffd c0000-cfffd
  d0000-dfffd e0000 e0002-e001f e0080-efffd
`)
