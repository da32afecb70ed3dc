import { defineConfig, type OxlintConfig } from 'oxlint'
import {
  type Folder,
  folders,
  forbiddenFolders,
  moduleExceptions,
  nodeGlobals,
} from './test/support/layers.ts'

type Override = NonNullable<OxlintConfig['overrides']>[number]

const source = 'packages/cygnet/src'
const testFiles = ['test.ts', 'test-helper.ts']

/** Layers hold for tests too; what follows from being sans-IO does not. */
const layerPattern = (folder: Folder) => ({
  regex: `^(\\.\\./)+(${[...forbiddenFolders(folder).map((name) => `${name}/`), 'index\\.ts$'].join('|')})`,
  message: `${folder.name}/ is layer ${folder.layer} and must not import this (test/support/layers.ts).`,
})

function outsidePatterns(folder: Folder, exceptions: readonly string[]) {
  const except = exceptions.map((name) => `!${name}`)
  if (!folder.packages) {
    const message = `${folder.name}/ imports nothing from Node or npm: it is handed in.`
    return [{ group: ['*', '!./**', '!../**', ...except], message }]
  }
  if (!folder.usesNode) {
    const message = `${folder.name}/ is sans-IO: Node's modules belong in runtime/, daemon/ and cli/.`
    return [{ group: ['node:*', ...except], message }]
  }
  return []
}

interface ImportPattern {
  readonly message: string
  readonly regex?: string
  readonly group?: string[]
}

const restrictImports = (patterns: ImportPattern[]): ['error', { patterns: ImportPattern[] }] => [
  'error',
  { patterns },
]

function rulesOf(folder: Folder): Override[] {
  const path = `${source}/${folder.name}`
  const layer = layerPattern(folder)
  const importsOf = (glob: string, exceptions: readonly string[]): Override => ({
    files: [glob],
    rules: { 'no-restricted-imports': restrictImports([layer, ...outsidePatterns(folder, exceptions)]) },
  })
  const apartOf = (name: string): Override => {
    const others = (folder.apart ?? []).filter((other) => other !== name)
    const message = `${name}/ and ${others.join('/, ')}/ do not know each other (test/support/layers.ts).`
    const apart = { regex: `/(${others.join('|')})/`, message }
    return {
      files: [`${path}/${name}/**`],
      rules: { 'no-restricted-imports': restrictImports([layer, apart, ...outsidePatterns(folder, [])]) },
    }
  }
  const exceptions = moduleExceptions.filter((exception) => exception.path.split('/')[0] === folder.name)
  const overrides: Override[] = [
    importsOf(`${path}/**`, []),
    ...(folder.apart ?? []).map(apartOf),
    ...exceptions.map((exception) => importsOf(`${source}/${exception.path}/**`, [exception.module])),
  ]
  if (!folder.usesNode) {
    const message = `${folder.name}/ is sans-IO: the time, randomness and the process are handed in.`
    overrides.push({
      files: [`${path}/**`],
      rules: {
        'no-restricted-globals': ['error', ...nodeGlobals.map((name) => ({ name, message }))],
        'no-restricted-properties': ['error', { object: 'Math', property: 'random', message }],
      },
    })
  }
  overrides.push({
    files: testFiles.map((ending) => `${path}/**/*.${ending}`),
    rules: {
      'no-restricted-imports': restrictImports([layer]),
      'no-restricted-globals': 'off',
      'no-restricted-properties': 'off',
    },
  })
  return overrides
}

export default defineConfig({
  plugins: ['typescript', 'unicorn', 'oxc', 'import', 'promise', 'node'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['**/dist/**', 'data/**'],
  rules: {
    // Codecs and parsers narrow what they have just checked.
    'typescript/no-unsafe-type-assertion': 'off',
    // A copy of a set that changes while it is walked through is no useless one.
    'unicorn/no-useless-spread': 'off',
    'unicorn/consistent-function-scoping': 'off',
    'no-underscore-dangle': 'off',
    // tsc checks returns.
    'typescript/consistent-return': 'off',
    eqeqeq: 'error',
    'no-console': 'error',
    'no-var': 'error',
    'prefer-const': 'error',
    'import/no-cycle': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/ban-ts-comment': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-floating-promises': ['error', { ignoreVoid: true }],
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    'typescript/require-await': 'error',
    'typescript/return-await': 'error',
    'typescript/only-throw-error': 'error',
    'typescript/prefer-promise-reject-errors': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'typescript/no-unnecessary-type-assertion': 'error',
    'typescript/restrict-plus-operands': 'error',
    'typescript/use-unknown-in-catch-callback-variable': 'error',
  },
  overrides: [
    ...folders.flatMap(rulesOf),
    { files: ['test/**', 'bench/**'], rules: { 'no-console': 'off' } },
    // An old Node must be able to parse these.
    { files: ['**/*.cjs'], rules: { 'no-var': 'off' } },
    // node:test's `test()` returns a promise that only subtests await.
    {
      files: ['**/*.test.ts'],
      rules: {
        'typescript/no-floating-promises': [
          'error',
          {
            allowForKnownSafeCalls: [
              { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
            ],
          },
        ],
      },
    },
  ],
})
