package httpapi

import (
	"net/http"
	"slices"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
)

// Who may use a route.
type Who uint8

// The six doors.
const (
	Anyone      Who = iota + 1
	AnApp           // X-App-ID with its key, which must have the route's scope, with X-Admin-Key, or with a session of the route's role
	Provisioner     // X-Provisioning-Key
	Admin           // X-Admin-Key, or a session of the route's role; the handler's caller is nil
	ASession        // a session of any role, also one whose user has to choose a password first; the handler's caller is nil
	Scraper         // X-Admin-Key, or that key as a bearer token, which is what Prometheus sends
)

// What a session needs to use a route, in the table's words.
const (
	view   = comm.Viewer
	act    = comm.Operator
	manage = comm.Admin
)

// Route is one row of the table.
type Route struct {
	Method, Path string
	Who          Who
	Scope        comm.Scopes // of AnApp
	Role         comm.Role   // of sessions: the lowest that may use it
	Query        bool        // it takes parameters, which its handler reads; elsewhere any is refused
	handle       func(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error
}

// routes is everything that is served. The contract in api/openapi.json and the
// matrices of apps, scopes and roles in the tests are held against it.
func (a *API) routes() []Route {
	health := []Route{
		{"GET", "/healthz", Anyone, 0, 0, false, a.healthz},
		{"GET", "/readyz", Anyone, 0, 0, false, a.readyz},
		{"GET", "/metrics", Scraper, 0, 0, false, a.metrics},
	}
	if a.cfg.HealthOnly {
		return health
	}
	return slices.Concat(health, a.appRoutes(), a.webhookRoutes(), []Route{
		{"GET", callbackPath, Anyone, 0, 0, true, a.takeCallback},
		{"POST", callbackPath, Anyone, 0, 0, true, a.takeCallback},

		{"POST", "/api/provision/apps", Provisioner, 0, 0, false, a.provision},

		{"POST", sessionPath, Anyone, 0, 0, false, a.signIn},

		{"GET", "/api/openapi", Anyone, 0, 0, false, a.openapi},
		{"GET", "/{$}", Anyone, 0, 0, false, a.root},
	}, a.adminRoutes(), a.userRoutes())
}

// appRoutes is what an app's keys open.
func (a *API) appRoutes() []Route {
	return []Route{
		{"POST", "/api/v1/messages", AnApp, comm.ScopeSend, act, false, a.createMessage},
		{"POST", "/api/v1/messages/batch", AnApp, comm.ScopeSend, act, false, a.createBatch},
		{"POST", "/api/v1/messages/preview", AnApp, comm.ScopeSend, view, false, a.previewMessage},
		{"GET", "/api/v1/messages", AnApp, comm.ScopeRead, view, true, a.listMessages},
		{"GET", "/api/v1/messages/{id}", AnApp, comm.ScopeRead, view, false, a.getMessage},
		{"PATCH", "/api/v1/messages/{id}", AnApp, comm.ScopeSend, act, false, a.changeMessage},

		{"GET", "/api/v1/sandbox/messages", AnApp, comm.ScopeRead, view, true, a.listCaptures},
		{"GET", "/api/v1/sandbox/messages/wait", AnApp, comm.ScopeRead, view, true, a.waitForCapture},
		{"GET", "/api/v1/sandbox/messages/{id}", AnApp, comm.ScopeRead, view, false, a.getCapture},
		{"GET", "/api/v1/sandbox/messages/{id}/source", AnApp, comm.ScopeRead, view, false, a.getCaptureSource},

		{"GET", "/api/v1/events", AnApp, comm.ScopeRead, view, true, a.listEvents},
		{"GET", "/api/v1/events/stream", AnApp, comm.ScopeRead, view, true, a.streamEvents},

		{"GET", "/api/v1/stats", AnApp, comm.ScopeRead, view, true, a.appStats},

		{"GET", "/api/v1/app", AnApp, comm.ScopeRead, view, false, a.getApp},
		{"PATCH", "/api/v1/app", AnApp, comm.ScopeProviders, manage, false, a.changeApp},

		{"POST", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, act, false, a.createProvider},
		{"GET", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, view, false, a.listProviders},
		{"GET", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, view, false, a.getProvider},
		{"PATCH", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, act, false, a.changeProvider},
		{"DELETE", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, act, false, a.deleteProvider},
		{"POST", "/api/v1/provider-configs/{id}/rotate-callback", AnApp, comm.ScopeProviders, act, false, a.rotateCallback},
		{"POST", "/api/v1/provider-configs/{id}/verify", AnApp, comm.ScopeProviders, act, false, a.verifyProvider},
		{"POST", "/api/v1/provider-configs/{id}/test", AnApp, comm.ScopeProviders, act, false, a.testProvider},

		{"POST", "/api/v1/templates", AnApp, comm.ScopeTemplates, act, false, a.createTemplate},
		{"GET", "/api/v1/templates", AnApp, comm.ScopeTemplates, view, true, a.listTemplates},
		{"GET", "/api/v1/templates/{id}", AnApp, comm.ScopeTemplates, view, false, a.getTemplate},
		{"PATCH", "/api/v1/templates/{id}", AnApp, comm.ScopeTemplates, act, false, a.changeTemplate},
		{"DELETE", "/api/v1/templates/{id}", AnApp, comm.ScopeTemplates, act, false, a.deleteTemplate},
		{"GET", "/api/v1/templates/{id}/versions", AnApp, comm.ScopeTemplates, view, false, a.listVersions},
		{"GET", "/api/v1/templates/{id}/versions/{version}", AnApp, comm.ScopeTemplates, view, false, a.getVersion},
		{"POST", "/api/v1/templates/{id}/rollback", AnApp, comm.ScopeTemplates, act, false, a.rollbackTemplate},
		{"POST", "/api/v1/templates/{id}/preview", AnApp, comm.ScopeTemplates, view, false, a.previewTemplate},

		{"POST", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, act, false, a.createSuppression},
		{"GET", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, view, true, a.listSuppressions},
		{"DELETE", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, act, true, a.deleteSuppression},
		{"POST", "/api/v1/suppressions/import", AnApp, comm.ScopeSuppressions, act, false, a.importSuppressions},
		{"GET", "/api/v1/suppressions/export", AnApp, comm.ScopeSuppressions, act, true, a.exportSuppressions},

		{"POST", "/api/v1/erasures", AnApp, comm.ScopeSuppressions, manage, false, a.createErasure},
		{"GET", "/api/v1/erasures/{id}", AnApp, comm.ScopeSuppressions, view, false, a.getErasure},
		{"GET", exportPath, AnApp, comm.ScopeRead | comm.ScopeSuppressions, act, true, a.exportPerson},
	}
}

// userRoutes are those of the console's users and their sessions.
func (a *API) userRoutes() []Route {
	return []Route{
		{"GET", sessionPath, ASession, 0, view, false, a.getSession},
		{"DELETE", sessionPath, ASession, 0, view, false, a.signOut},
		{"POST", sessionPath + "/password", ASession, 0, view, false, a.changePassword},
		{"GET", sessionPath + "/second-factor", ASession, 0, view, false, a.getFactors},
		{"POST", sessionPath + "/second-factor", ASession, 0, view, false, a.enrolFactor},
		{"POST", sessionPath + "/second-factor/confirm", ASession, 0, view, false, a.confirmFactor},
		{"POST", sessionPath + "/second-factor/remove", ASession, 0, view, false, a.removeFactor},
		{"POST", sessionPath + "/security-keys/options", ASession, 0, view, false, a.keyOptions},
		{"POST", sessionPath + "/security-keys", ASession, 0, view, false, a.addKey},
		{"POST", sessionPath + "/security-keys/{id}/remove", ASession, 0, view, false, a.removeKey},
		{"GET", "/api/admin/users", Admin, 0, manage, true, a.listUsers},
		{"POST", "/api/admin/users", Admin, 0, manage, false, a.createUser},
		{"GET", "/api/admin/users/{id}", Admin, 0, manage, false, a.getUser},
		{"PATCH", "/api/admin/users/{id}", Admin, 0, manage, false, a.changeUser},
		{"DELETE", "/api/admin/users/{id}", Admin, 0, manage, false, a.deleteUser},
	}
}

// adminRoutes is what the administrator's key opens.
func (a *API) adminRoutes() []Route {
	return []Route{
		{"GET", "/api/admin/apps", Admin, 0, view, true, a.listApps},
		{"POST", "/api/admin/apps", Admin, 0, manage, false, a.createApp},
		{"GET", "/api/admin/apps/{app}", Admin, 0, view, false, a.getAnyApp},
		{"PATCH", "/api/admin/apps/{app}", Admin, 0, manage, false, a.changeAnyApp},
		{"DELETE", "/api/admin/apps/{app}", Admin, 0, manage, true, a.deleteApp},
		{"GET", "/api/admin/apps/{app}/keys", Admin, 0, view, true, a.listKeys},
		{"POST", "/api/admin/apps/{app}/keys", Admin, 0, manage, false, a.createKey},
		{"POST", "/api/admin/apps/{app}/keys/{id}/rotate", Admin, 0, manage, false, a.rotateKey},
		{"DELETE", "/api/admin/apps/{app}/keys/{id}", Admin, 0, manage, false, a.revokeKey},
		{"GET", "/api/admin/messages", Admin, 0, view, true, a.listAllMessages},
		{"GET", "/api/admin/messages/{id}", Admin, 0, view, false, a.getAnyMessage},
		{"PATCH", "/api/admin/messages/{id}", Admin, 0, act, false, a.changeAnyMessage},
		{"GET", "/api/admin/events", Admin, 0, view, true, a.newestEvents},
		{"GET", "/api/admin/suppressions", Admin, 0, view, true, a.findSuppressions},
		{"GET", "/api/admin/queue", Admin, 0, view, true, a.showQueue},
		{"POST", "/api/admin/queue", Admin, 0, act, false, a.changeQueue},
		{"POST", "/api/admin/erasures", Admin, 0, manage, false, a.createAnyErasure},
		{"GET", "/api/admin/erasures/{id}", Admin, 0, view, false, a.getAnyErasure},
		{"GET", "/api/admin/upkeep", Admin, 0, view, false, a.getUpkeep},
		{"GET", "/api/admin/alerts", Admin, 0, view, false, a.listAlerts},
		{"GET", backupPath, Admin, 0, manage, false, a.getBackup},
		{"GET", "/api/admin/hold", Admin, 0, view, false, a.getHold},
		{"POST", "/api/admin/hold", Admin, 0, manage, false, a.releaseHold},
		{"GET", "/api/admin/stats", Admin, 0, view, true, a.allStats},
		{"GET", "/api/admin/audit", Admin, 0, view, true, a.listAudit},
		{"GET", "/api/admin/audit/verify", Admin, 0, view, true, a.verifyAudit},
		{"GET", "/api/admin/chains", Admin, 0, view, true, a.liveChains},
		{"POST", "/api/admin/provider-configs", Admin, 0, act, false, a.createProvider},
		{"GET", "/api/admin/provider-configs", Admin, 0, view, false, a.listProviders},
		{"GET", "/api/admin/provider-configs/{id}", Admin, 0, view, false, a.getProvider},
		{"PATCH", "/api/admin/provider-configs/{id}", Admin, 0, act, false, a.changeProvider},
		{"DELETE", "/api/admin/provider-configs/{id}", Admin, 0, act, false, a.deleteProvider},
		{"POST", "/api/admin/provider-configs/{id}/rotate-callback", Admin, 0, act, false, a.rotateCallback},
		{"POST", "/api/admin/provider-configs/{id}/verify", Admin, 0, act, false, a.verifyProvider},
		{"POST", "/api/admin/provider-configs/{id}/test", Admin, 0, act, false, a.testProvider},
	}
}

// webhookRoutes are those of webhook endpoints and what is posted to them.
func (a *API) webhookRoutes() []Route {
	return []Route{
		{"GET", "/api/v1/webhooks", AnApp, comm.ScopeProviders, view, false, a.listEndpoints},
		{"POST", "/api/v1/webhooks", AnApp, comm.ScopeProviders, act, false, a.createEndpoint},
		{"GET", "/api/v1/webhooks/{id}", AnApp, comm.ScopeProviders, view, false, a.getEndpoint},
		{"PATCH", "/api/v1/webhooks/{id}", AnApp, comm.ScopeProviders, act, false, a.changeEndpoint},
		{"DELETE", "/api/v1/webhooks/{id}", AnApp, comm.ScopeProviders, act, false, a.deleteEndpoint},
		{"POST", "/api/v1/webhooks/{id}/rotate-secret", AnApp, comm.ScopeProviders, act, false, a.rotateSecret},
		{"POST", "/api/v1/webhooks/{id}/test", AnApp, comm.ScopeProviders, act, false, a.testEndpoint},
		{"POST", "/api/v1/webhooks/{id}/replay", AnApp, comm.ScopeProviders, act, false, a.replayDeliveries},
		{"GET", "/api/v1/webhooks/{id}/deliveries", AnApp, comm.ScopeProviders, view, true, a.listDeliveries},
		{"GET", "/api/v1/webhooks/{id}/deliveries/{delivery}", AnApp, comm.ScopeProviders, view, false, a.getDelivery},
		{"POST", "/api/v1/webhooks/{id}/deliveries/{delivery}/replay", AnApp, comm.ScopeProviders, act, false, a.replayDelivery},
	}
}

// Routes lists what is served, for documentation and tests.
func (a *API) Routes() []Route { return a.routes() }
