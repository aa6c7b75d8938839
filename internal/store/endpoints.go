package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// MaxEndpoints is how many webhook endpoints an app can have. One place of them is kept for the one named
// comm.DefaultEndpoint, so that an app's webhookUrl can be set whatever else it has.
const MaxEndpoints = 20

// Endpoints is the addresses that events are posted to. Every change counts the configuration version up.
//
// An app's WebhookURL and WebhookSecret are its endpoint named comm.DefaultEndpoint, whose id is the app's: what is
// changed of one is changed of the other. While its address is "" only the secret is remembered, for the next address:
// for every method here there is no such endpoint then.
//
// One that this version cannot read is read all the same, with Unreadable set: it costs nobody else anything.
type Endpoints interface {
	// Endpoints lists an app's endpoints by name.
	Endpoints(ctx context.Context, app comm.ID) ([]comm.Endpoint, error)
	// EndpointsOf lists the endpoints of apps that are not deleted, those that are switched off too: those of one app
	// together, by name.
	EndpointsOf(ctx context.Context, apps []comm.ID) ([]comm.Endpoint, error)
	// Endpoint reads one; not_found otherwise.
	Endpoint(ctx context.Context, app, id comm.ID) (*comm.Endpoint, error)
	// CreateEndpoint stores e, whose id is the app's if it has the name comm.DefaultEndpoint, and no other's. It sets
	// e.Version. Errors: not_found without the app, already_exists when the app has one with this name,
	// too_many_endpoints when it has MaxEndpoints, which holds for those who create at the same time as well.
	CreateEndpoint(ctx context.Context, e *comm.Endpoint) error
	// UpdateEndpoint writes e if its stored version is e.Version, which it counts up; a Conflict otherwise, also when a secret was
	// sealed again meanwhile; not_found without it, already_exists when another one of the app has the name.
	UpdateEndpoint(ctx context.Context, e *comm.Endpoint) error
	// SwitchOff makes e inactive for a reason of comm.EndpointEnds, at the database's now, if it is active and its
	// stored version is e.Version; otherwise somebody changed it meanwhile, and nothing happens.
	SwitchOff(ctx context.Context, e *comm.Endpoint, why string) (done bool, err error)
	// DeleteEndpoint removes it with its secret; not_found without it. Its name is free then.
	DeleteEndpoint(ctx context.Context, app, id comm.ID) error
}
