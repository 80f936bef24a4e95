# METADATA
# title: Who may push a file
# description: |
#   A partner hands over its own datasets, under an agreement that names a purpose and a lawful
#   basis. Personal data needs an impact assessment (GDPR art. 35), and a public task its legal
#   text; only the synthetic demonstration is excused. An operator may push on a partner's behalf.
#   Every line below names what must be shown; what is not shown refuses.
package hub.push

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": obligations} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: Only partners and operators push
refused contains "role_may_not_push" if not role_pushes

role_pushes if input.actor.role in ["partner", "operator"]

# METADATA
# title: A partner pushes its own datasets, never another's
refused contains "not_own_organisation" if not for_itself

for_itself if lib.partner_itself(input.actor, input.partner)

for_itself if {
	lib.operator(input.actor)
	lib.named(input.partner)
}

# METADATA
# title: The partner's access token was issued for pushing
refused contains "scope_missing" if not token_for_pushing

token_for_pushing if "push" in input.actor.scopes

token_for_pushing if lib.operator(input.actor)

# METADATA
# title: The dataset is named
refused contains "dataset_missing" if not dataset_named

dataset_named if lib.named(input.dataset)

# METADATA
# title: There is an agreement on this dataset, with a purpose
refused contains "agreement_missing" if not agreed

agreed if lib.named(input.agreement.purpose)

# METADATA
# title: The agreement states one of the three lawful bases
refused contains "basis_unknown" if {
	agreed
	not basis_known
}

basis_known if input.agreement.basis in ["consent", "public_task", "not_personal"]

# METADATA
# title: Personal data has an impact assessment
# description: GDPR art. 35. Excused for open or already aggregated data, and for the demonstration.
refused contains "impact_assessment_missing" if {
	agreed
	not assessed
}

assessed if lib.named(input.agreement.impact_assessment)

assessed if input.agreement.basis == "not_personal"

assessed if input.agreement.demo == true

# METADATA
# title: A public task cites its legal text
# description: GDPR art. 6(1)(e) and 6(3). Excused for the demonstration, which is synthetic.
refused contains "legal_text_missing" if {
	agreed
	not founded
}

founded if lib.named(input.agreement.legal_text)

founded if input.agreement.basis in ["consent", "not_personal"]

founded if input.agreement.demo == true

# METADATA
# title: Both sides have signed the agreement
# description: Through the hub, or on paper under a reference. Excused for the demonstration.
refused contains "agreement_not_signed" if {
	agreed
	not signed
}

signed if input.agreement.signed == true

signed if lib.named(input.agreement.signed_off)

signed if input.agreement.demo == true

# METADATA
# title: The agreement is in force today
# description: Days are counted as numbers; the last day is included.
refused contains "agreement_not_in_force" if {
	agreed
	not in_force
}

in_force if lib.within(input.day, input.agreement.begins, input.agreement.ends)

# METADATA
# title: What the hub must do with the file
# description: The sealed file is transit; it is used for the agreed purpose under its basis.
obligations := {
	"basis": input.agreement.basis,
	"purpose": input.agreement.purpose,
	"sealed_at_most_hours": 72,
}
