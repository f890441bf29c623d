import { describeFaults } from './every-fault.ts';

describeFaults('the real disk', 'in turn');
