import { describeFaultCanary, describeFaults } from '../change/every-fault.ts';

describeFaults('the memory disk', 'each');
describeFaultCanary('the memory disk');
