# METADATA
# title: Who may record that a person consented
# description: |
#   The partner that asked the person, for a purpose of the closed list, under its own agreement
#   whose basis is consent. An operator may record it for that partner. Whoever turned 15 and was
#   asked again may answer alone, on their own page, with their code and secret. No teacher or
#   school collects consent: a pupil must be free to say no to a school. Whether the person's age
#   asks for a parent too is checked by the hub on the consent itself, which policies never see.
package hub.consent

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {"receipt": true}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: Only partners and operators record consent, and the person who was asked; never a school
refused contains "role_may_not_collect" if not role_collects

role_collects if input.actor.role in ["partner", "operator"]

role_collects if answers_again

# METADATA
# title: A person answers for themselves, where they were asked again
answers_again if {
	input.actor.role == "person"
	input.again == true
	lib.named(input.partner)
}

# METADATA
# title: A partner records only what it collected itself
refused contains "not_own_organisation" if not for_itself

for_itself if lib.partner_itself(input.actor, input.partner)

for_itself if {
	lib.operator(input.actor)
	lib.named(input.partner)
}

for_itself if answers_again

# METADATA
# title: The partner's access token was issued for consents
refused contains "scope_missing" if not token_for_consents

token_for_consents if "consent" in input.actor.scopes

token_for_consents if lib.operator(input.actor)

token_for_consents if answers_again

# METADATA
# title: The purpose is in the closed list
refused contains "purpose_unknown" if not purpose_listed

purpose_listed if {
	input.purpose_known == true
	lib.named(input.purpose)
}

# METADATA
# title: The partner has an agreement for this very purpose
refused contains "agreement_missing" if not agreed

agreed if {
	lib.named(input.purpose)
	input.agreement.purpose == input.purpose
}

# METADATA
# title: The agreement's basis is consent
# description: Asking for a consent that would change nothing misleads the person.
refused contains "basis_is_not_consent" if {
	agreed
	not basis_is_consent
}

basis_is_consent if input.agreement.basis == "consent"
