/** Every plugin that is left to an operator, from the states. */
import type { Status } from '../../shared/upkeep.ts';
import { isPluginName } from '../../shared/name.ts';
import type { Ground } from './ground.ts';
import { stateOf } from './inspect.ts';

/** What happened to each and what to do, by name. Throws what the disk throws. */
export const listTroubles = (ground: Ground): Status['troubles']['items'] =>
  ground.disk
    .list(ground.layout.state)
    .map(({ name }) => name.replace(/\.json$/, ''))
    .filter(isPluginName)
    .toSorted()
    .flatMap((plugin) => {
      const trouble = stateOf(ground, plugin)?.trouble;
      return trouble === undefined ? [] : { plugin, ...trouble };
    });
