// The table of acts: a row for each thing that a form of the console does. A new act joins by a row in the file of its matter;
// what a row may say stands in perform.mjs. TestActs fails for each form of the console that no row has sent.

import { apps } from "./acts/apps.mjs";
import { held } from "./acts/held.mjs";
import { messages } from "./acts/messages.mjs";
import { people } from "./acts/people.mjs";
import { providers } from "./acts/providers.mjs";
import { templates } from "./acts/templates.mjs";
import { webhooks } from "./acts/webhooks.mjs";

// acts are all rows of a part: console is what every server can do, held what one does that was restored.
export function acts(part) {
  return part === "held" ? held() : [...apps(), ...messages(), ...providers(), ...templates(), ...webhooks(), ...people()];
}
