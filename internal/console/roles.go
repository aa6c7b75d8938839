package console

// act is something that a role may do. The API judges; the console only leaves out what would be refused.
type act string

// The acts. What each of them covers is what the API's roles say (docs/admin.md).
const (
	actSee     act = ""
	actOperate act = "operate"    // messages, the queue, suppressions, provider configurations, templates, webhooks
	actRule    act = "administer" // apps, keys, users, settings, erasures
)

// ranks are the API's roles, from the lowest.
var ranks = map[string]int{"VIEWER": 1, "OPERATOR": 2, "ADMIN": 3}

// needed is the lowest role of an act.
var needed = map[act]int{actSee: 1, actOperate: 2, actRule: 3}

// can says whether the user's role has the act. A role that this version does not know only sees.
func (u user) can(a act) bool {
	rank := ranks[u.Role]
	return a == actSee || rank > 0 && needed[a] > 0 && rank >= needed[a]
}
