# METADATA
# title: Who may run the hub
# description: |
#   Each action of running the hub, and the roles that may take it. An action that is not in the
#   table is refused to everyone. No action here shows a personal row: there is none that does.
package hub.admin

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The actions, and who may take each
actions := {
	"agreement_record": {"operator"},
	"audit_reconcile": {"auditor", "dpo", "operator"},
	"backup_list": {"dpo", "operator"},
	"backup_make": {"operator"},
	"consent_show": {"dpo", "operator"},
	"hub_check": {"operator"},
	"keys_rotate": {"operator"},
	"keys_show": {"dpo", "operator"},
	"partner_add": {"operator"},
	"partner_list": {"auditor", "dpo", "operator", "steward"},
	"policy_replay": {"auditor", "dpo", "operator"},
	"push_list": {"dpo", "operator"},
	"quarantine_drop": {"operator"},
	"quarantine_list": {"dpo", "operator"},
	"quarantine_replay": {"operator"},
	"release_build": {"operator", "steward"},
	"release_retract": {"steward"},
	"request_decide": {"steward"},
	"retention_run": {"operator"},
	"retention_show": {"dpo", "operator"},
	"share_add": {"operator"},
	"share_list": {"auditor", "dpo", "operator", "steward"},
	"share_revoke": {"dpo", "operator", "steward"},
	"user_add": {"operator"},
	"user_list": {"dpo", "operator"},
}

# METADATA
# title: The action is in the table
refused contains "action_unknown" if not action_listed

action_listed if actions[input.action]

# METADATA
# title: The actor's role may take it
refused contains "role_may_not" if {
	action_listed
	not role_may
}

role_may if input.actor.role in actions[input.action]
