export async function findPlantedBugs(
  _only: string | undefined,
  _say: (text: string) => void,
): Promise<boolean> {
  return false
}
