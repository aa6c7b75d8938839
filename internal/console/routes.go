package console

import (
	"net/http"
	"slices"
	"strings"
)

// route is one row of the table.
type route struct {
	method, path string
	section      string // of the navigation; "" for none
	may          act    // what a role must be allowed to; "" for anybody who is signed in
	open         bool   // served to who is not signed in
	handle       func(v *visit) error
}

// handsOut says that the route answers a file to be stored. A page may be opened by a link from anywhere; a file is begun by ours alone.
func (r route) handsOut() bool {
	return strings.HasSuffix(r.path, "/source") || strings.HasSuffix(r.path, "/export") || strings.Contains(r.path, "/files/")
}

// framed says that the route answers what one of our own pages shows in a frame. Pages of the console are in no frame.
func (r route) framed() bool {
	return strings.HasSuffix(r.path, "/content") || strings.HasSuffix(r.path, "/draft")
}

// routes is everything that is served, but for the assets. The tests walk it.
func (c *Console) routes() []route {
	return slices.Concat(c.doorRoutes(), c.accountRoutes(), c.ownKeyRoutes(), c.overviewRoutes(), c.nowRoutes(), c.messageRoutes(), c.sandboxRoutes(), c.queueRoutes(), c.holdRoutes(), c.appRoutes(), c.personRoutes(), c.providerRoutes(), c.templateRoutes(), c.suppressionRoutes(), c.webhookRoutes(), c.auditRoutes(), c.userRoutes())
}

// section is a group of pages in the navigation.
type section struct {
	id, Name, Icon, Path string
	group                string
}

// Groups of the navigation, in order.
const (
	groupSee   = "Watch"
	groupSetUp = "Set up"
	groupGuard = "Guard"
)

// sections are what the navigation may show, in order: those of which the table has the path, and the role the act.
func sections() []section {
	return []section{
		{"overview", "Overview", "overview", Root, groupSee},
		{"live", "Live", "live", nowPath, groupSee},
		{"messages", "Messages", "messages", Root + "/messages", groupSee},
		{"sandbox", "Sandbox inbox", "inbox", Root + "/sandbox", groupSee},
		{"queue", "Queue", "queue", Root + "/queue", groupSee},
		{"apps", "Apps", "apps", Root + "/apps", groupSetUp},
		{"providers", "Providers", "providers", Root + "/providers", groupSetUp},
		{"templates", "Templates", "templates", Root + "/templates", groupSetUp},
		{"suppressions", "Suppressions", "suppressions", Root + "/suppressions", groupSetUp},
		{"webhooks", "Webhooks", "webhooks", Root + "/webhooks", groupSetUp},
		{"audit", "Audit", "audit", Root + "/audit", groupGuard},
		{"users", "Users", "users", Root + "/users", groupGuard},
	}
}

// navGroup is a group of the navigation as a page shows it.
type navGroup struct {
	Name  string
	Items []navItem
}

type navItem struct {
	section
	Current bool
}

// navigation is what a user sees of the sections.
func (c *Console) navigation(u user, current string) []navGroup {
	var out []navGroup
	for _, s := range sections() {
		at := slices.IndexFunc(c.table, func(one route) bool { return one.method == http.MethodGet && one.path == s.Path })
		if at < 0 || !u.can(c.table[at].may) {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Name != s.group {
			out = append(out, navGroup{Name: s.group})
		}
		last := &out[len(out)-1]
		last.Items = append(last.Items, navItem{s, s.id == current})
	}
	return out
}
