package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// Apps is the tenants. Every change counts the configuration version up.
type Apps interface {
	// AppByID and AppBySlug answer not_found when there is none.
	AppByID(ctx context.Context, id comm.ID) (*comm.App, error)
	AppBySlug(ctx context.Context, slug string) (*comm.App, error)
	// AppsByID answers those of the apps that exist, each once, in no order, without their webhooks and SMSDays.
	AppsByID(ctx context.Context, ids []comm.ID) ([]comm.App, error)
	// AppList pages through all apps by id.
	AppList(ctx context.Context, after comm.ID, limit int) ([]comm.App, error)
	// CreateApp stores the app and its first key (nil: none) in one
	// transaction; created is false when the slug exists, and then nothing is stored.
	CreateApp(ctx context.Context, a *comm.App, k *comm.Key) (created bool, err error)
	// UpdateApp writes every field of a that can change if the app is still the one that was
	// read: a.UpdatedAt is what is stored. It moves a.UpdatedAt on to at, or to the microsecond
	// after the one before, so that every change has an instant of its own. Otherwise nothing is
	// written and the error is a Conflict, or not_found. It is a Conflict as well if a.WebhookVersion is not what is stored.
	UpdateApp(ctx context.Context, a *comm.App, at comm.Micros) error
	// DeleteApp makes the app one that does not exist for every other method of Apps, ends its keys
	// at the instant at and gives its slug back; not_found without it. No attempt of it starts
	// from then on; a call that is under way ends and is recorded. Its messages, keys and
	// configurations stay stored, behind an id that nobody can name any more, until DeletedApps'
	// reader removes them.
	DeleteApp(ctx context.Context, id comm.ID, at comm.Micros) error
	// DeletedApps pages by id through the deleted apps that still have rows, their own at least.
	DeletedApps(ctx context.Context, after comm.ID, limit int) ([]comm.ID, error)
}

// Keys is the API keys.
type Keys interface {
	// KeyByHash answers the key whatever its state; not_found otherwise.
	KeyByHash(ctx context.Context, hash [32]byte) (*comm.Key, error)
	// RotateKeys stores k and ends every key that provisioning issued to the app at endOld, in one
	// transaction. Rotations of one app happen one after the other, so that only the last one's key stays.
	RotateKeys(ctx context.Context, k *comm.Key, endOld comm.Micros) error
	// AppKeys lists an app's keys, oldest first.
	AppKeys(ctx context.Context, app comm.ID) ([]comm.Key, error)
	// KeyPage pages through an app's keys by id, which is about by age.
	KeyPage(ctx context.Context, app, after comm.ID, limit int) ([]comm.Key, error)
	// Key reads one key of the app, whatever its state; not_found otherwise.
	Key(ctx context.Context, app, id comm.ID) (*comm.Key, error)
	// AddKey stores a new key of the app; not_found without the app.
	AddKey(ctx context.Context, k *comm.Key) error
	// ReplaceKey stores k and makes the app's key old end at endOld, or earlier if it was to end
	// earlier, in one transaction. invalid_state if old has ended by k.CreatedAt, not_found without it.
	ReplaceKey(ctx context.Context, k *comm.Key, old comm.ID, endOld comm.Micros) error
	// RevokeKey makes the app's key end at the instant at, if it does not end earlier already; not_found without it.
	RevokeKey(ctx context.Context, app, id comm.ID, at comm.Micros) error
	// UseKeys notes when keys were used: each at most once a minute, and never an earlier instant
	// than is noted. Keys that do not exist are passed over. It does not count the configuration
	// version up. At most 50 at once, in the order of app and id.
	UseKeys(ctx context.Context, uses []KeyUse) error
}

// KeyUse is that a key was used.
type KeyUse struct {
	App, ID comm.ID
	At      comm.Micros
}

// MaxProviderConfigs is how many configurations an app can have, and the server-level chain.
const MaxProviderConfigs = 100

// Providers is the configured accounts. A zero app means the server-level chain.
type Providers interface {
	// ProviderConfigs lists the configurations of these apps, those of one app
	// together and in chain order (priority, then age).
	ProviderConfigs(ctx context.Context, apps ...comm.ID) ([]comm.ProviderConfig, error)
	ProviderConfig(ctx context.Context, app, id comm.ID) (*comm.ProviderConfig, error)
	// CreateProviderConfig stores c. Errors: invalid_config when the app has MaxProviderConfigs already, which holds
	// for those who create at the same time as well.
	CreateProviderConfig(ctx context.Context, c *comm.ProviderConfig) error
	// UpdateProviderConfig writes c if its stored version is c.Version, which it counts up; conflict otherwise, and also
	// when secrets that were read under an old key were sealed again meanwhile: that counts no version up.
	UpdateProviderConfig(ctx context.Context, c *comm.ProviderConfig) error
	DeleteProviderConfig(ctx context.Context, app, id comm.ID) error
	// DaysUsed answers what was counted (Start.Daily) for the configurations of
	// these apps on the last day on which anything was; those without a count
	// are left out. In no order. The count of a deleted configuration is gone.
	DaysUsed(ctx context.Context, apps ...comm.ID) ([]DayUse, error)
}

// DayUse is how many attempts of a configuration began on a day.
type DayUse struct {
	App, Provider comm.ID
	Day           int64 // UTC days since 1970-01-01, by the database's clock
	Used          int
}

// Suppressions is the addresses that an app must not write to.
type Suppressions interface {
	// Suppress adds; added is false when it was there, which stays as it is. One with a Hash that
	// was kept was not there: it is new.
	Suppress(ctx context.Context, s Suppression) (added bool, err error)
	// SuppressAll adds at most SuppressMost in one short transaction and answers how
	// many were not there. Those that were stay as they are.
	SuppressAll(ctx context.Context, all []Suppression) (added int, err error)
	// Unsuppress takes one off; removed is false when there was none.
	Unsuppress(ctx context.Context, app comm.ID, ch comm.Channel, address string) (removed bool, err error)
	Suppressed(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error)
	// SuppressedOf answers those of the addresses that are on the app's list, by one question.
	SuppressedOf(ctx context.Context, app comm.ID, ch comm.Channel, addresses []string) ([]string, error)
	// Suppression reads one; not_found when the address is not on the app's list.
	Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*Suppression, error)
	// SuppressionList reads a page, newest first.
	SuppressionList(ctx context.Context, app comm.ID, f SuppressionFilter) ([]Suppression, error)
	// SuppressionsAfter reads the next ones of all, in the order of channel and address as
	// the database compares them. Whoever was on the list all the time is met exactly once.
	SuppressionsAfter(ctx context.Context, app comm.ID, ch comm.Channel, address string, limit int) ([]Suppression, error)
}

// SuppressMost is how many suppressions one transaction adds: a few milliseconds of SQLite's writer.
const SuppressMost = 100

// HardBounce is the reason of suppressions that providers cause: the address does not exist.
const HardBounce = comm.SuppressHardBounce

// Suppression is one address, normalised for comparing.
type Suppression struct {
	App     comm.ID
	Channel comm.Channel
	Address string
	Reason  string // a word of comm.SuppressionReasons
	Source  string // a word of comm.SuppressionSources
	Note    string // whoever added it may say more
	// Hash is what may be kept of the address since its person was erased: it goes with the
	// transaction that adds the address. "" when nothing can be; never read back.
	Hash      string
	CreatedAt comm.Micros
}

// SuppressionFilter narrows a list of suppressions. Zero values do not filter.
type SuppressionFilter struct {
	Channel       comm.Channel
	Reason        string
	CreatedAfter  comm.Micros // exclusive, compared in whole milliseconds as in Filter
	CreatedBefore comm.Micros // likewise
	// Before is the keyset: only what comes after it in the list. Of it CreatedAt, Channel and Address count.
	Before *Suppression
	Limit  int
}

// Settings is small server-wide values, such as the canary of the key ring.
type Settings interface {
	// Setting answers "" when there is none.
	Setting(ctx context.Context, name string) (string, error)
	// InitSetting stores value unless there is one, and answers what is stored.
	InitSetting(ctx context.Context, name, value string) (string, error)
	// SwapSetting stores value if old is stored, and answers whether it was. value is neither old nor "".
	SwapSetting(ctx context.Context, name, old, value string) (swapped bool, err error)
}

// Templates is content with placeholders. A template of another app does not exist.
type Templates interface {
	// CreateTemplate stores t and its version t.Current. Errors: a Conflict when the app has one with this
	// key, too_many_templates when it has most already (two at once may make one more).
	CreateTemplate(ctx context.Context, t *comm.Template, most int) error
	// Template and TemplateByKey answer not_found when there is none.
	Template(ctx context.Context, app, id comm.ID) (*comm.Template, error)
	TemplateByKey(ctx context.Context, app comm.ID, key string) (*comm.Template, error)
	// TemplateList reads a page, newest first. It ends early once its content passes TemplatePageBytes, but
	// holds one at least; more says that there are further ones.
	TemplateList(ctx context.Context, app comm.ID, f TemplateFilter) (page []comm.Template, more bool, err error)
	// UpdateTemplate writes t.Name, and with next not nil a new version, whose number must be the one after
	// t.Current's, if the template is still the one that was read: t.UpdatedAt is what is stored. Of the versions the
	// newest keep stay. It moves t on as UpdateApp does. Otherwise nothing is written: a Conflict, or not_found.
	UpdateTemplate(ctx context.Context, t *comm.Template, next *comm.TemplateVersion, keep int, at comm.Micros) error
	// DeleteTemplate removes it with its versions; not_found when there is none. Its key is free then.
	DeleteTemplate(ctx context.Context, app, id comm.ID) error
	// TemplateVersions lists the versions that are kept, newest first, without body and text; not_found without the template.
	TemplateVersions(ctx context.Context, app, id comm.ID) ([]comm.TemplateVersion, error)
	// TemplateVersion reads one version; not_found when it is not kept.
	TemplateVersion(ctx context.Context, app, id comm.ID, version int) (*comm.TemplateVersion, error)
}

// TemplatePageBytes is how much content a page of TemplateList holds before it ends, in bytes.
const TemplatePageBytes = 1 << 20

// TemplateFilter narrows TemplateList. Zero values do not filter.
type TemplateFilter struct {
	Channel comm.Channel
	Key     string
	Before  comm.ID // keyset: only older ones
	Limit   int
}
