package comm

// What an entry of the audit log reports. They are stored: never rename one.
const (
	AuditAppCreated       = "app_created"
	AuditAppUpdated       = "app_updated"
	AuditAppDeleted       = "app_deleted"
	AuditKeyCreated       = "key_created"
	AuditKeyReplaced      = "key_replaced"
	AuditKeysRotated      = "keys_rotated"
	AuditKeyRevoked       = "key_revoked"
	AuditKeyFirstUsed     = "key_first_used"
	AuditKeyRefused       = "key_refused"
	AuditTooManyFailures  = "too_many_failures"
	AuditProviderCreated  = "provider_created"
	AuditProviderUpdated  = "provider_updated"
	AuditProviderDeleted  = "provider_deleted"
	AuditTemplateCreated  = "template_created"
	AuditTemplateUpdated  = "template_updated"
	AuditTemplateDeleted  = "template_deleted"
	AuditEndpointCreated  = "endpoint_created"
	AuditEndpointUpdated  = "endpoint_updated"
	AuditEndpointDisabled = "endpoint_disabled"
	AuditEndpointDeleted  = "endpoint_deleted"
	AuditSuppressed       = "suppressions_added"
	AuditUnsuppressed     = "suppression_removed"
	AuditQueueCancelled   = "queue_cancelled"
	AuditMessageCancel    = "message_cancelled"
	AuditMessageRetry     = "message_retried"
	AuditSettingSet       = "setting_set"
	AuditSettingChanged   = "setting_changed"
	AuditAppRemoved       = "app_removed"
	AuditErasureStarted   = "erasure_requested"
	AuditErasureDone      = "erasure_finished"
	AuditPersonExported   = "person_exported"
	AuditSMSAlarm         = "sms_alarm"
	AuditUserCreated      = "user_created"
	AuditUserUpdated      = "user_updated"
	AuditUserDeleted      = "user_deleted"
	AuditSignedIn         = "signed_in"
	AuditSignedOut        = "signed_out"
	AuditSignInRefused    = "sign_in_refused"
	AuditBackupTaken      = "backup_taken"
	AuditHoldReleased     = "hold_released"
)

// AuditActions is every action with its meaning.
func AuditActions() []Word { return auditActions[:] }

var auditActions = [...]Word{
	{AuditAppCreated, "An app was created."},
	{AuditAppUpdated, "An app's settings were changed."},
	{AuditAppDeleted, "An app was deleted; its keys ended."},
	{AuditKeyCreated, "A key was created."},
	{AuditKeyReplaced, "A key was created in another one's place."},
	{AuditKeysRotated, "Provisioning issued a key; those that it had issued before end."},
	{AuditKeyRevoked, "A key was ended."},
	{AuditKeyFirstUsed, "A key was used for the first time."},
	{AuditKeyRefused, "A key was refused because it has ended; at most once an hour and node for a key."},
	{AuditTooManyFailures, "An address was over the limit of failed authentications; at most once an hour and node for an address."},
	{AuditProviderCreated, "A provider configuration was created."},
	{AuditProviderUpdated, "A provider configuration was changed, or its callback token rotated (config.callbackRotatedAt)."},
	{AuditProviderDeleted, "A provider configuration was deleted."},
	{AuditTemplateCreated, "A template was created."},
	{AuditTemplateUpdated, "A template was renamed, or got another version."},
	{AuditTemplateDeleted, "A template was deleted."},
	{AuditEndpointCreated, "A webhook endpoint was created. An app's webhookUrl, which is its endpoint named default, is a setting of the app when it is changed there."},
	{AuditEndpointUpdated, "A webhook endpoint was changed, or its secret rotated."},
	{AuditEndpointDisabled, "The server switched a webhook endpoint off."},
	{AuditEndpointDeleted, "A webhook endpoint was deleted."},
	{AuditSuppressed, "Addresses joined an app's opt-out list by a call or an import, of which each step has an entry. The log never holds the addresses."},
	{AuditUnsuppressed, "An address was taken off an app's opt-out list."},
	{AuditQueueCancelled, "The administrator began to cancel what waits of an app. Each message's log says what became of it."},
	{AuditMessageCancel, "The administrator cancelled a message of an app, or asked for it."},
	{AuditMessageRetry, "The administrator queued a message of an app again, or asked for it."},
	{AuditSettingSet, "A setting of the server was stored for the first time."},
	{AuditSettingChanged, "A setting of the server was changed, such as the marks by which keys of the ring are known."},
	{AuditAppRemoved, "The last row of a deleted app was removed."},
	{AuditErasureStarted, "The erasure of a person was asked for. The log never holds the address."},
	{AuditErasureDone, "A person was erased."},
	{AuditPersonExported, "What is held about a person was exported; the log does not say about whom."},
	{AuditSMSAlarm, "An app's SMS of a day passed five times the usual number, in all or under a cap of a prefix; at most once a day for each."},
	{AuditUserCreated, "A user of the console was created."},
	{AuditUserUpdated, "A user of the console was changed, by an administrator or by themselves: role, password, second factor."},
	{AuditUserDeleted, "A user of the console was deleted; their sessions ended."},
	{AuditSignedIn, "A session began, of a user or of the holder of the admin key."},
	{AuditSignedOut, "A session was ended by whom it belonged to."},
	{AuditSignInRefused, "Signing in was tried too often with wrong credentials; at most once an hour and node for an address. The target is the name if there is such a user."},
	{AuditBackupTaken, "A backup of everything that is stored was asked for over the API."},
	{AuditHoldReleased, "The hold of a restored database was released; choice says what becomes of what may have been sent."},
}
