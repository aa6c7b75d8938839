package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// thing is what an entry of the audit log is about, and so where it is looked up.
type thing uint8

const (
	aSetting thing = iota // by its name, which is the target
	anApp
	aKey
	aProvider
	aTemplate
	aWebhook
	aMessage
	aUser
	aList    // an app's suppression list of a channel
	aPerson  // nobody: the log never says who
	theHold  // of a restored database
	nothings // the sentence says everything
)

// acted are the actions as an operator reads them, with what they are done to. The name of that follows the words.
var acted = map[string]struct {
	Did string
	To  thing
}{
	comm.AuditAppCreated: {"Created the app", anApp}, comm.AuditAppUpdated: {"Changed the settings of the app", anApp}, comm.AuditAppDeleted: {"Deleted the app", anApp},
	comm.AuditAppRemoved: {"Removed the last that was kept of the deleted app", anApp}, comm.AuditSMSAlarm: {"Raised the alarm about the number of SMS of the app", anApp},
	comm.AuditKeyCreated: {"Created the key", aKey}, comm.AuditKeyReplaced: {"Put a new key in an older one's place:", aKey}, comm.AuditKeysRotated: {"Issued a key, and let those issued before it end:", aKey},
	comm.AuditKeyRevoked: {"Ended the key", aKey}, comm.AuditKeyFirstUsed: {"Used for the first time the key", aKey}, comm.AuditKeyRefused: {"Was refused with the ended key", aKey},
	comm.AuditTooManyFailures: {"Failed to authenticate too often", nothings},
	comm.AuditProviderCreated: {"Created the provider", aProvider}, comm.AuditProviderUpdated: {"Changed the provider", aProvider}, comm.AuditProviderDeleted: {"Deleted the provider", aProvider},
	comm.AuditTemplateCreated: {"Created the template", aTemplate}, comm.AuditTemplateUpdated: {"Changed the template", aTemplate}, comm.AuditTemplateDeleted: {"Deleted the template", aTemplate},
	comm.AuditEndpointCreated: {"Created the webhook", aWebhook}, comm.AuditEndpointUpdated: {"Changed the webhook", aWebhook}, comm.AuditEndpointDeleted: {"Deleted the webhook", aWebhook},
	comm.AuditEndpointDisabled: {"Switched off, as it failed, the webhook", aWebhook},
	comm.AuditSuppressed:       {"Put addresses on the suppression list of", aList}, comm.AuditUnsuppressed: {"Took an address off the suppression list of", aList},
	comm.AuditQueueCancelled: {"Began to cancel what waits of the app", anApp},
	comm.AuditMessageCancel:  {"Cancelled the message", aMessage}, comm.AuditMessageRetry: {"Queued again the message", aMessage},
	comm.AuditSettingSet: {"Stored for the first time the setting", aSetting}, comm.AuditSettingChanged: {"Changed the setting", aSetting},
	comm.AuditErasureStarted: {"Asked for the erasure of a person", aPerson}, comm.AuditErasureDone: {"Erased a person", aPerson}, comm.AuditPersonExported: {"Exported what is held about a person", aPerson},
	comm.AuditUserCreated: {"Created the user", aUser}, comm.AuditUserUpdated: {"Changed the user", aUser}, comm.AuditUserDeleted: {"Deleted the user", aUser},
	comm.AuditSignedIn: {"Signed in as", aUser}, comm.AuditSignedOut: {"Signed out as", aUser}, comm.AuditSignInRefused: {"Failed too often to sign in as", aUser},
	comm.AuditBackupTaken: {"Took a backup of everything", nothings}, comm.AuditHoldReleased: {"Released the restored server to send again", theHold},
}

// turns are changes that have words of their own: a setting that became true or false. The first one that fits counts.
var turns = []struct {
	Action, Setting string
	To              bool
	Did             string
}{
	{comm.AuditAppUpdated, "sandboxMode", false, "Took live the app"},
	{comm.AuditAppUpdated, "sandboxMode", true, "Put back into the sandbox the app"},
	{comm.AuditAppUpdated, "isActive", false, "Switched off the app"},
	{comm.AuditAppUpdated, "isActive", true, "Switched on the app"},
	{comm.AuditAppUpdated, "queuePaused", true, "Paused the queue of the app"},
	{comm.AuditAppUpdated, "queueDraining", true, "Let the queue run empty of the app"},
	{comm.AuditAppUpdated, "queuePaused", false, "Resumed the queue of the app"},
	{comm.AuditAppUpdated, "queueDraining", false, "Resumed the queue of the app"},
	{comm.AuditProviderUpdated, "isActive", false, "Switched off the provider"},
	{comm.AuditProviderUpdated, "isActive", true, "Switched on the provider"},
	{comm.AuditEndpointUpdated, "isActive", false, "Switched off the webhook"},
	{comm.AuditEndpointUpdated, "isActive", true, "Switched on the webhook"},
	{comm.AuditUserUpdated, "isActive", false, "Switched off the user"},
	{comm.AuditUserUpdated, "isActive", true, "Switched on the user"},
}

// didWords say what an entry did, and to what kind of thing. told is the setting that they tell of already, "" for none.
func didWords(e *client.AuditEntry) (did string, to thing, told string) {
	for _, one := range turns {
		if one.Action == e.Action && e.Detail[one.Setting]["to"] == one.To {
			return one.Did, acted[e.Action].To, one.Setting
		}
	}
	one, known := acted[e.Action]
	if !known {
		return statusWord(e.Action) + ":", aSetting, "" // of a newer server
	}
	return one.Did, one.To, ""
}

// settingWords are settings whose own names say little.
var settingWords = map[string]string{"isActive": "On", "sandboxMode": "Sandbox", "slug": "Short name", "disabled": "Switched off because", "choice": "What may have been sent", "othersEndAt": "The others end",
	"oldEndsAt": "The older one ends", "replaces": "In the place of", "providerType": "Type", "callbackRotatedAt": "Callback URL rotated"}

// settingWord is the name of a setting as people read it: ratePerMinute becomes Rate per minute.
func settingWord(name string) string {
	name = strings.TrimPrefix(name, "config.")
	if own, known := settingWords[name]; known {
		return own
	}
	var b strings.Builder
	for i, r := range name {
		switch {
		case i == 0:
			r = unicode.ToUpper(r)
		case unicode.IsUpper(r) && !unicode.IsUpper(rune(name[i-1])):
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// named is something that an entry names: what it is called, and its page, "" where it has none or is gone.
type named struct {
	Name, Path string
	Gone       bool
	ID         bool // the name is only an id
}

// lookupsMost bounds how many things one page of the log asks for; what is beyond it is shown by its id, with its link.
const lookupsMost = 60

// subjects finds what the entries of a page are about, each thing once.
type subjects struct {
	v     *visit
	apps  map[string]named
	slugs map[string]string // of apps that are there, by id
	keys  map[string]map[string]string
	users map[string]named  // by id; empty for who may not see them
	names map[string]person // the same by name
	found map[string]named
	left  int

	kept     map[string]string // names that entries keep of their targets
	people   []string          // names of users
	allUsers bool              // who is not among users is gone
}

func (v *visit) subjectsOf(apps []client.App) (*subjects, error) {
	s := &subjects{v: v, apps: map[string]named{}, slugs: map[string]string{}, keys: map[string]map[string]string{}, users: map[string]named{}, names: map[string]person{}, found: map[string]named{}, kept: map[string]string{}, left: lookupsMost}
	for i := range apps {
		s.knows(&apps[i])
	}
	if !v.user.can(actRule) {
		return s, nil
	}
	people, err := fetch[listing[person]](v, "", apiUsers, url.Values{"limit": {itoa(appsOffered)}})
	if err != nil {
		return nil, err
	}
	s.allUsers = people.Next == ""
	for _, p := range people.Data {
		s.people = append(s.people, p.Name)
		s.users[p.ID], s.names[p.Name] = named{Name: p.Name, Path: usersPath + "/" + url.PathEscape(p.ID)}, p
	}
	return s, nil
}

func (s *subjects) knows(a *client.App) named {
	one := named{Name: a.Name, Path: appsPath + "/" + url.PathEscape(a.ID)}
	s.apps[a.ID], s.slugs[a.ID] = one, a.Slug
	return one
}

// app is the app of an id; where it is gone, or cannot be read, its id stands for it.
func (s *subjects) app(id string) named {
	if one, known := s.apps[id]; known {
		return one
	}
	one := named{Name: id, ID: true}
	if idForm.MatchString(id) && s.left > 0 {
		s.left--
		a, err := fetch[client.App](s.v, "", "/api/admin/apps/"+client.Escape(id), nil)
		if err == nil {
			return s.knows(a)
		}
		one.Gone = isGone(err)
	}
	s.apps[id] = one
	return one
}

func isGone(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// of is what the entry was done to. What is gone has the name that the entry itself keeps, if it does.
func (s *subjects) of(e *client.AuditEntry, to thing) named {
	switch to {
	case nothings:
		return named{}
	case aPerson:
		return named{Name: "see what is held and erased", Path: s.under(e.App, "/persons")}
	case theHold:
		return named{Path: holdPath, Name: "what may have been sent"}
	case aList:
		return s.list(e)
	case aKey:
		return s.key(e.App, e.Target, s.keptName(e))
	case aUser:
		return s.user(e)
	case aSetting:
		return named{Name: e.Target}
	case anApp:
		one := s.app(e.Target)
		if one.Gone && s.keptName(e) != "" {
			one.Name, one.ID = s.keptName(e), false
		}
		return one
	}
	return s.look(e, to)
}

// under is a page under an app's, "" once it is gone.
func (s *subjects) under(app, rest string) string {
	if at := s.app(app); at.Path != "" {
		return at.Path + rest
	}
	return ""
}

// keptName is the newest name that the entry keeps of its target.
func keptName(e *client.AuditEntry) string {
	for _, name := range []string{"name", "key"} {
		for _, side := range []string{"to", "from"} {
			if s, ok := e.Detail[name][side].(string); ok && s != "" {
				return s
			}
		}
	}
	return ""
}

// keptName is the name that the entry keeps of its target, or another one of the page does.
func (s *subjects) keptName(e *client.AuditEntry) string {
	if name := keptName(e); name != "" {
		return name
	}
	return s.kept[e.Target]
}

func (s *subjects) list(e *client.AuditEntry) named {
	out := named{Name: s.app(e.App).Name + ", email"}
	if e.Target == client.SMS {
		out.Name = s.app(e.App).Name + ", SMS"
	}
	if slug := s.slugs[e.App]; slug != "" {
		out.Path = suppressionsPath + "?" + url.Values{"app": {slug}, "channel": {e.Target}}.Encode()
	}
	return out
}

// key is the key of an app: it is shown on the app's page, also once it has ended.
func (s *subjects) key(app, id, kept string) named {
	if at := s.app(app); at.Gone || at.Path == "" {
		return orID(kept, id, at.Gone)
	}
	names, read := s.keys[app]
	if !read && s.left > 0 {
		s.left--
		names = map[string]string{}
		if found, err := s.v.keys(&client.App{ID: app}, ""); err == nil {
			for _, k := range found.Data {
				if names[k.ID] = k.Name; k.Name == "" && k.Prefix != "" {
					names[k.ID] = k.Prefix + "…" + k.LastFour
				}
			}
		}
		s.keys[app] = names
	}
	out := orID(names[id], id, false)
	if out.ID && kept != "" {
		out = named{Name: kept}
	}
	out.Path = s.under(app, "")
	if s.v.user.can(actRule) {
		out.Path = s.under(app, "#h-keys")
	}
	return out
}

func orID(name, id string, gone bool) named {
	if name == "" {
		return named{Name: id, Gone: gone, ID: true}
	}
	return named{Name: name, Gone: gone}
}

func (s *subjects) user(e *client.AuditEntry) named {
	if e.Target == "" {
		return named{Name: "nobody who is known here"}
	}
	if one, known := s.users[e.Target]; known {
		return one
	}
	if kept := s.keptName(e); kept != "" || !idForm.MatchString(e.Target) {
		return orID(kept, e.Target, e.Action == comm.AuditUserDeleted)
	}
	return named{Name: e.Target, ID: true, Gone: s.allUsers}
}

// look asks for a provider, a template, a webhook or a message.
func (s *subjects) look(e *client.AuditEntry, to thing) named {
	if one, known := s.found[e.Target]; known {
		if one.ID && s.keptName(e) != "" {
			one.Name, one.ID = s.keptName(e), false
		}
		return one
	}
	one := orID(s.keptName(e), e.Target, false)
	if !idForm.MatchString(e.Target) {
		return one
	}
	if e.App != "" && s.app(e.App).Path == "" {
		one.Gone = s.app(e.App).Gone
		return one
	}
	slug, api, page := s.placeOf(e, to)
	one.Path = page
	if s.left > 0 {
		s.left--
		is, err := fetch[struct {
			Name      string `json:"name"`
			Subject   string `json:"subject"`
			ToAddress string `json:"toAddress"`
		}](s.v, slug, api+"/"+client.Escape(e.Target), nil)
		switch {
		case err == nil && to == aMessage:
			one = named{Name: "to " + is.ToAddress, Path: page, ID: is.ToAddress == ""}
			if one.ID {
				one.Name = e.Target
			}
		case err == nil && is.Name != "":
			one = named{Name: is.Name, Path: page}
		case isGone(err):
			one.Path, one.Gone = "", true
		}
	}
	s.found[e.Target] = one
	return one
}

// placeOf is where the API has a thing, for which app, and where this console shows it.
func (s *subjects) placeOf(e *client.AuditEntry, to thing) (slug, api, page string) {
	slug = s.slugs[e.App]
	switch to {
	case aProvider:
		of := chainOf{}
		if slug != "" {
			of.App = &client.App{Slug: slug}
		}
		return of.slug(), of.api(), of.at(e.Target, "")
	case aTemplate:
		return slug, "/api/v1/templates", templatesPath + "/" + url.PathEscape(slug) + "/" + e.Target
	case aWebhook:
		return slug, "/api/v1/webhooks", endpointPath(slug, e.Target)
	}
	return "", "/api/admin/messages", messagesPath + "/" + e.Target
}

// actorWords are the kinds of actors for people.
var actorWords = map[string]string{comm.ActorApp: "Apps, by a key", comm.ActorAdmin: "The admin key", comm.ActorUser: "Users of the console", comm.ActorProvisioning: "Setup jobs",
	comm.ActorClient: "Not signed in", comm.ActorSystem: "The server itself"}

// actor is who did it, with what kind of actor it is where the name does not say that.
func (s *subjects) actor(e *client.AuditEntry) (who named, kind string) {
	switch e.Actor {
	case comm.ActorUser:
		// Entries keep the name only. Nobody having it says nothing: they may have another one by now, and somebody who came later theirs.
		if one, known := s.names[e.ActorName]; known && (one.CreatedAt == nil || !e.At.Before(*one.CreatedAt)) {
			return s.users[one.ID], ""
		}
		return named{Name: e.ActorName}, ""
	case comm.ActorApp:
		return s.key(e.App, e.ActorName, ""), "a key of the app"
	case comm.ActorAdmin:
		return named{Name: "The admin key"}, ""
	case comm.ActorProvisioning:
		return named{Name: "A setup job"}, "the provisioning key"
	case comm.ActorClient:
		return named{Name: "Somebody"}, "not signed in"
	case comm.ActorSystem, "":
		return named{Name: "The server"}, "by itself"
	}
	return orID(e.ActorName, statusWord(e.Actor), false), ""
}
