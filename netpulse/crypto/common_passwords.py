"""Words and walks over the keyboard that the most common passwords are made of, lower case.

A module and not a data file, so that a frozen executable has it without being told.
"""

from __future__ import annotations

WORDS = frozenset(
    """
aaa abc abcd abcdef abcdefg abcdefgh abcdefghij abcdefghijkl access account admin administrator
alexander alexandra amanda andrew angel angels anthony anything apple april arsenal asd asdf
asdfgh asdfghjkl ashley august autumn azerty azertyuiop baby babygirl bailey banana barcelona
baseball basketball batman battery bear benjamin birthday biteme blink bond bonjour brandon
business buster butterfly change changeme charlie cheese chelsea cherry chocolate christ
christian christopher cisco company computer contrasena cookie correct correcthorsebatterystaple
corvette cowboys crystal daniel database debian december default demo diamond docker dragon
eagle eagles edcrfv eight elizabeth enter everything example facebook falcon family february
ferrari five flower flowers football forever four freedom friday friends fuck fuckyou gandalf
geheim george ginger god golden google guest hallo happy harley haslo hasło hello hockey horse
hunter hunter2 iloveyou in internet is january jasmine jennifer jessica jesus jesuschrist
jonathan jordan joshua july june juniper justin juventus kennwort killer lakers let letme
letmein linux lion liverpool login losenord love lovely loveme lucky maggie manager march maria
master matrix matthew maverick me mercedes merlin michael michelle microsoft monday money
monitor monitoring monkey motdepasse mustang my mypassword mysql netpulse network new nicholas
nicole nine ninja nobody nothing november now october office old one onetwothree open opensesame
oracle orange panther parola parole pass passw0rd passwd password passwort pepper phoenix please
pokemon porsche postgres princesa princess private public purple qazwsx qazwsxedc qwe qweasd
qweasdzxc qwer qwerty qwertyuiop qwertz qwertzuiop rainbow raspberry realmadrid rfvtgb robert
root salasana samantha sample samsung saturday sebastian secret secrets secure security senha
september server service sesame seven shadow silver six soccer something spiderman spring staple
startrek starwars steelers success summer sunday sunshine superman support system systems temp
temporary ten test test123 tester testing tgbyhn that the this thomas three thunder thursday
tiger tigger together too toor trust trustme trustno tuesday two ubuntu unicorn upguardx uptime
user wachtwoord wednesday welcome whatever william windows winter wolf wsxedc yankees yellow you
your yourpassword youtube yxcvbnm zero zxc zxcvbn zxcvbnm
""".split()
)
