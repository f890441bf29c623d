/** What the status page is made of. */
import type { Readiness, Status } from '../../shared/api/maintenance.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import type { Activity } from './activity.ts';

/** A plugin as the page shows it, with what an operator should know of it. */
export type PluginOverview = Pick<PluginInfo, 'name' | 'status'> & {
  [K in 'level' | 'reason' | 'version' | 'description' | 'installedAt' | 'by']: PluginInfo[K] | undefined;
} & { notes: string[] };

/** What is on the disk. The plugins that need a look come first. */
export type Overview = Pick<Status, 'plugins' | 'troubles'> & {
  list: { items: PluginOverview[]; total: number };
};

/** What is shown at one moment. */
export type PageFacts = {
  now: Date;
  about: Partial<Status>;
  root: string;
  running: readonly { plugin: string; operationId: string }[];
  /** `value` is undefined if the disk was not looked at yet, or if the last look has failed. Times are in milliseconds. */
  overview: { value: Overview | undefined; why: string | undefined; age: number };
  readiness: Readiness;
  activity: Pick<Activity, 'progress' | 'told'>;
};
