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

// missing is the error for what the route's path names and is not there: the innermost, else what the section has.
func (r route) missing() error {
	for _, inner := range []string{"delivery", "version", "key"} {
		if strings.Contains(r.path, "{"+inner+"}") {
			return missing(inner)
		}
	}
	if at := slices.IndexFunc(sections(), func(s section) bool { return s.id == r.section && s.one != "" }); at >= 0 {
		return missing(sections()[at].one)
	}
	if strings.Contains(r.path, "{app}") {
		return missing("app")
	}
	return nothingThere
}

// routes is everything that is served, but for the assets. The tests walk it.
func (c *Console) routes() []route {
	return slices.Concat(c.doorRoutes(), c.accountRoutes(), c.ownKeyRoutes(), c.overviewRoutes(), c.nowRoutes(), c.messageRoutes(), c.sandboxRoutes(), c.queueRoutes(), c.holdRoutes(), c.appRoutes(), c.personRoutes(), c.providerRoutes(), c.templateRoutes(), c.suppressionRoutes(), c.webhookRoutes(), c.auditRoutes(), c.userRoutes())
}

// section is a group of pages in the navigation.
type section struct {
	id, Name, Icon, Path string
	group                string
	one                  string // what it has many of; "" where it shows what others have
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
		{"overview", "Overview", "overview", Root, groupSee, ""},
		{"live", "Live", "live", nowPath, groupSee, ""},
		{"messages", "Messages", "messages", Root + "/messages", groupSee, "message"},
		{"sandbox", "Sandbox inbox", "inbox", Root + "/sandbox", groupSee, "captured message"},
		{"queue", "Queue", "queue", Root + "/queue", groupSee, ""},
		{"apps", "Apps", "apps", Root + "/apps", groupSetUp, "app"},
		{"providers", "Providers", "providers", Root + "/providers", groupSetUp, "provider configuration"},
		{"templates", "Templates", "templates", Root + "/templates", groupSetUp, "template"},
		{"suppressions", "Suppressions", "suppressions", Root + "/suppressions", groupSetUp, "suppression"},
		{"webhooks", "Webhooks", "webhooks", Root + "/webhooks", groupSetUp, "webhook"},
		{"audit", "Audit", "audit", Root + "/audit", groupGuard, ""},
		{"users", "Users", "users", Root + "/users", groupGuard, "user"},
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
