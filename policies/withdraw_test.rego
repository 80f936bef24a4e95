package hub.withdraw_test

import data.hub.withdraw

# Each case is the question asked above with one thing changed, and the reasons it is refused for.
asked := {"actor": null, "partner": "coachco2", "via": "code"}

cases := {
	"the code alone": {"question": asked, "reasons": []},
	"no partner named": {
		"question": json.patch(asked, [{"op": "add", "path": "/partner", "value": ""}]),
		"reasons": ["partner_missing"],
	},
	"nobody through a partner": {
		"question": json.patch(asked, [{"op": "add", "path": "/via", "value": "partner"}]),
		"reasons": ["not_own_organisation", "scope_missing"],
	},
	"nobody at the command line": {
		"question": json.patch(asked, [{"op": "add", "path": "/via", "value": "cli"}]),
		"reasons": ["role_may_not_withdraw"],
	},
	"nothing": {"question": {}, "reasons": ["partner_missing", "way_unknown"]},
}

test_cases[name] if {
	some name, wanted in cases
	made := withdraw.decision with input as wanted.question
	made.reasons == wanted.reasons
	allowed := count(wanted.reasons) == 0
	made.allow == allowed
}
