"""Templates of made-up sentences, and the words that fill them (`texts` puts them together)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType


def _items(block: str) -> tuple[str, ...]:
    """Items between bars, on one line each."""
    return tuple(" ".join(item.split()) for item in block.split("|"))


FIRST_NAMES = tuple(
    """
    Aaron Abigail Adam Adrian Agnes Ahmed Alan Albert Alice Amara Amelia Amit Amy Ana Andrew Angela Anita Ann
    Anthony Arjun Arthur Ashley Audrey Barbara Beatrice Benjamin Bernard Beth Brandon Brenda Brian Bridget Bruce
    Carl Carla Carmen Caroline Catherine Cecil Charles Charlotte Chen Chloe Christine Claire Clara Colin Connor
    Craig Cynthia Daisy Daniel David Deborah Denise Dennis Derek Diana Diego Donald Dorothy Douglas Duncan Edith
    Edward Eleanor Elena Eli Elizabeth Ellen Emily Emma Eric Esther Ethan Eva Fatima Felix Fiona Florence Frances
    Frank Fred Gabriel Gareth Gary George Gerald Gloria Gordon Grace Graham Greta Hannah Harold Harriet Harry Hassan
    Heather Helen Henry Hilda Howard Hugh Ian Ibrahim Ingrid Irene Isaac Isabel Ivan Jack Jacob James Jane Janet
    Jasmine Jason Jean Jeremy Jessica Joan Joel Johanna John Jonathan Jordan Joseph Joshua Joyce Juan Judith Julia
    Justin Karen Kate Keith Kelly Kenneth Kevin Kimberly Kiran Kyle Laura Lauren Lawrence Leah Leo Leonard Liam Lily
    Linda Lisa Lloyd Logan Louis Louise Lucas Lucy Lydia Mabel Malcolm Marcus Margaret Maria Marion Mark Martha
    Martin Mary Matthew Maya Megan Mei Melissa Michael Miguel Miriam Mohammed Monica Morgan Nadia Naomi Natalie
    Nathan Neil Nicholas Nina Noah Nora Olga Oliver Olivia Omar Oscar Owen Patricia Patrick Paul Pedro Peggy Peter
    Philip Phoebe Priya Quentin Rachel Ralph Raymond Rebecca Richard Rita Robert Roger Ronald Rosa Rose Rosemary Roy
    Russell Ruth Ryan Sally Samantha Samuel Sandra Sara Scott Sean Sebastian Sharon Sheila Simon Sofia Sophie
    Stanley Stella Stephen Steven Stuart Susan Sylvia Tamara Tanya Teresa Theodore Thomas Timothy Tina Tom Tony
    Tracy Ursula Valerie Vera Veronica Victor Victoria Vincent Viola Virginia Walter Wanda Warren Wendy William
    Winifred Yasmin Yuki Yusuf Zachary Zoe
    """.split()
)
LAST_NAMES = tuple(
    """
    Abbott Adams Ali Allen Anderson Armstrong Atkins Bailey Baker Barnes Bell Bennett Black Blake Boyd Bradley
    Brooks Brown Bryant Burke Burns Butler Campbell Carpenter Carter Chapman Chen Clark Clarke Cohen Coleman Collins
    Cook Cooper Cox Crawford Cruz Cunningham Davies Davis Dawson Diaz Dixon Douglas Duncan Edwards Elliott Ellis
    Evans Fernandez Fisher Fleming Fletcher Ford Foster Fox Fraser Freeman Garcia Gardner Gibson Gomez Gonzalez
    Gordon Graham Grant Gray Green Griffin Gupta Hall Hamilton Harper Harris Harrison Hart Harvey Hayes Henderson
    Hernandez Hill Holmes Howard Hudson Hughes Hunt Hunter Hussain Jackson Jacobs James Jenkins Johnson Johnston
    Jones Jordan Joyce Kaur Kelly Kennedy Khan Kim King Knight Kumar Lambert Lane Lawson Lee Lewis Lloyd Lopez
    Marshall Martin Martinez Mason Matthews McCarthy McDonald McKenzie Mendoza Meyer Miller Mills Mitchell Moore
    Morales Morgan Morris Morrison Murphy Murray Nelson Newman Nguyen O'Brien O'Connor Oliver Ortiz Osborne Owen
    Palmer Parker Patel Pearson Perez Perkins Perry Peterson Phillips Pierce Porter Powell Price Quinn Ramirez
    Ramsey Reed Reid Reynolds Richards Richardson Riley Rivera Roberts Robertson Robinson Rogers Ross Russell Ryan
    Sanchez Saunders Schmidt Scott Shaw Silva Simmons Simpson Singh Smith Spencer Stevens Stewart Stone Sullivan
    Sutherland Suzuki Tanaka Taylor Thomas Thompson Thornton Torres Tucker Turner Vaughan Walker Wallace Walsh Wang
    Ward Warren Washington Watkins Watson Watts Webb Wells West Wheeler White Whitfield Wilkinson Williams
    Williamson Willis Wilson Wong Wood Woods Wright Yamamoto Young Zhang
    """.split()
)
CITIES = _items(
    """
    Aberdeen | Adelaide | Amsterdam | Athens | Atlanta | Auckland | Austin | Baltimore | Bangkok | Barcelona |
    Belfast | Berlin | Birmingham | Bombay | Boston | Brisbane | Bristol | Brussels | Budapest | Cairo | Calcutta |
    Cambridge | Canberra | Cardiff | Chester | Chicago | Cleveland | Copenhagen | Dallas | Delhi | Denver | Detroit
    | Dover | Dublin | Durham | Edinburgh | Exeter | Florence | Geneva | Glasgow | Halifax | Hamburg | Helsinki |
    Houston | Istanbul | Jakarta | Johannesburg | Kingston | Lagos | Leeds | Leicester | Lima | Lincoln | Lisbon |
    Liverpool | London | Madrid | Manchester | Manila | Melbourne | Memphis | Miami | Milan | Milwaukee | Montreal |
    Moscow | Munich | Nairobi | Naples | Newcastle | Norwich | Nottingham | Oakland | Oslo | Ottawa | Oxford | Paris
    | Perth | Philadelphia | Phoenix | Pittsburgh | Plymouth | Portland | Prague | Richmond | Rome | Sacramento |
    Salisbury | Seattle | Seoul | Sheffield | Singapore | Stockholm | Sydney | Tokyo | Toronto | Tucson | Vancouver
    | Venice | Vienna | Warsaw | Wellington | Winchester | Windsor | York | Zurich | New York | Los Angeles | San
    Francisco | New Orleans | Salt Lake City | Hong Kong | Buenos Aires
    """
)
STREETS = tuple(
    """
    Main Church Park High Station Victoria Elm Oak Maple Cedar Mill Bridge Market King Queen Walnut Chestnut Lake
    Hill Washington Jefferson Franklin Spring River Garden Prospect Highland Sunset Meadow Orchard Willow Pine Birch
    Railroad School College North South East West Union Liberty Pleasant Forest Grove Harbour Canal Castle Abbey
    Windmill
    """.split()
)
STREET_KINDS = tuple(
    """
    Street Road Avenue Lane Drive Court Place Square Crescent Boulevard Way
    """.split()
)
MONTHS = tuple(
    """
    January February March April May June July August September October November December
    """.split()
)
DAYS = tuple(
    """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    """.split()
)
LETTERS = tuple(
    """
    a b c d e f g h i j k l m n o p q r s t u v w x y z
    """.split()
)
NOUNS = tuple(
    """
    account accident acid acre actor address adventure advice aeroplane afternoon agent agreement air airport alarm
    album alley alphabet ambulance anchor angle animal ankle answer ant apartment apple apron arch argument arm army
    arrow art article artist ash aunt author autumn avenue axe baby back bag bakery balance ball balloon banana band
    bank banker bar barber barn barrel basement basin basket bath battery battle bay beach bean bear beard beast bed
    bee beef bell belt bench berry bicycle bill bird birth biscuit bishop blanket blood blossom board boat body bolt
    bone book boot border bottle boundary bow bowl box boy brain brake branch brass bread breakfast breath brick
    bride bridge broom brother bruise brush bubble bucket budget bug building bulb bull bundle burglar bus bush
    business butcher butter butterfly button cabbage cabin cable cage cake calendar calf camel camera camp canal
    candle cannon canvas cap captain car card cargo carpenter carpet carriage carrot cart case castle cat cathedral
    cattle cave ceiling cellar cemetery centre century ceremony chain chair chalk chamber champion channel chapel
    chapter charge charity cheek cheese chemist cheque cherry chest chicken chief child chimney chin chocolate choir
    church cigar cinema circle circus citizen city clay clerk cliff climate clock cloth cloud club coach coal coast
    coat cobweb coffee coffin coin collar college colonel colour column comb comedy comet committee companion
    company compass computer concert conference constable contract convict cook copper copy corn corner corridor
    cottage cotton couch counter country county couple court cousin cow cradle crane cream creature creek crew
    cricket crime crocodile crop cross crowd crown crystal cup cupboard curtain cushion custom customer cycle dagger
    daisy dairy dance danger daughter dawn deck deer defence delivery demand dentist department desert desk dessert
    detective device dial diamond dictionary dinner diplomat direction dish dispute distance ditch doctor dog doll
    dollar dolphin donkey door doorway dozen dragon drain drama drawer drawing dream dress drill drink driver
    drought drum duchess duck duke dust duty eagle ear earl earth earthquake east edge editor education egg election
    elephant elevator embassy emperor empire employer engine engineer entrance envelope error essay estate evening
    event evidence exam example exhibition expense experiment expert explosion eye eyebrow face factory failure fair
    farmer farmhouse fashion father feast feather fence ferry festival fever field finger fire fireplace fish
    fisherman fist flag flame flask fleet flood floor flour flower fluid flute fly fog folder food foot forehead
    forest fork fortune fountain fox frame freedom freight friend frog frost fruit fuel funeral fur furnace
    furniture future gallery gallon game gang gaoler garage garden garlic garment gas gate gentleman geography giant
    gift giraffe girl glacier glass glove glue goat gold goose governor grain grammar grandfather grandmother
    granite grape grass grave gravel guard guest guide guitar gum gun habit hail hair half hall hammer hand
    handkerchief handle harbour hardware hare harvest hat hatch hawk hay head health heart hearth heat hedge heel
    helmet herb herd hero highway hill history hole holiday honey hoof hook horn horse hospital hotel hour house
    household housekeeper humour hunger hunter hurricane husband ice idea inch industry infant ink inn insect
    inspector instrument insurance interest interview invention iron island ivory jacket jail jam jar jaw jewel job
    joke journal journey judge jug juice jungle jury kettle key keyboard kidney king kingdom kitchen kite kitten
    knee knife knight knot knowledge laboratory labour lace ladder lady lake lamb lamp landlord landscape language
    lantern laundry law lawn lawyer leader leaf leather lecture leg legend lemon lesson letter lettuce level lever
    library licence lid lieutenant lighthouse lightning lily limb linen lion lip list literature lizard loaf loan
    lobby lock log lorry luck luggage lunch lung machine magazine magistrate maid mail manager mansion manuscript
    map marble margin market marriage mask master mat match material mayor meadow meal measure meat medal medicine
    melody member memory menu merchant message metal meter microphone midnight mile military milk mill mine mineral
    minister mirror mist model moment monarch money monkey month monument moon morning moss mother motor mountain
    mouse moustache mouth movement movie mud murderer muscle museum mushroom music nail name napkin nation navy neck
    necklace needle neighbour nephew nerve nest net newspaper niece night noise noon north nose notebook notice
    novel nurse nut oak oar oath ocean office officer oil onion opera opinion orange orchard orchestra order organ
    ornament ostrich outfit oven owl owner oxygen oyster package page pain paint painter palace palm pan paper
    parade parcel parent parliament parrot partner party passage passenger passport password pastry path patient
    pattern peace peach peak pear pearl peasant pebble pen pencil penny pepper performance perfume permission phone
    photograph physician piano picnic picture pie pigeon pile pilgrim pillow pilot pin pioneer pipe pirate pistol
    pitcher plain planet plank plant plaster plate platform play pleasure pocket poem poet poison pole police policy
    pond pony pool porch port porter portrait postman pot potato pottery powder prayer priest prince princess prison
    prisoner privilege prize professor profit programme project promise property protest proverb province pudding
    pump pupil puppet purse puzzle pyramid quarrel quarry queen question quilt rabbit radiator radio rag rail
    railway rain rainbow ranch rat ray razor reader receipt recipe record referee refrigerator regiment region
    religion rent repair report republic reputation restaurant reward ribbon rice ridge rifle ring river road robe
    robin robot rock rocket roof room root rope rose route rubber rug ruler rumour saddle sail sailor salad salary
    salmon salt sand sandwich satellite sauce saucer sausage saw scale scarf school science scientist scissors
    screen screw sculpture sea seal season seat secretary seed senate sentence sergeant servant sex shadow sheep
    sheet shelf shell shelter shepherd sheriff shield ship shirt shoe shop shore shoulder shovel shower shrimp
    shutter sidewalk signal silence silk silver singer sister sketch skin skirt sky sleeve slipper slope smoke snail
    snake snow soap society sock soil soldier song soup south space spade spark sparrow speech spider spirit spoon
    spring square squirrel stable stadium staircase stamp star statement station statue steam steel stem step stick
    stomach stone stool storm story stove stranger straw strawberry stream string student studio subject suburb
    sugar suit suitcase summer sun supper surface surgeon sweater sword syrup table tablet tailor tale tank tape
    target task tax taxi tea teacher team telegram telescope temper temple tenant tent territory theatre theory
    thief thread throat throne thumb thunder ticket tide tiger timber tin title toast tobacco toe tomato tomb tongue
    tool tooth torch tortoise towel tower town toy tractor trade tradition traffic train traitor tray treasure
    treaty tree trial triangle tribe trousers truck trumpet trunk truth tube tunnel turkey turtle twig tyre umbrella
    uncle uniform university valley van vase vault vegetable veil vein velvet verse vessel victory village villain
    violin visitor voice volcano volume voyage wagon waiter wall wallet walnut wardrobe warehouse warrior watch
    water waterfall wave wax weapon weather wedding weed weekend well whale wheat wheel whip whisper whistle widow
    wife wind window wine wing winter wire witness wolf wood wool workshop world worm wound wreck wrist yacht yard
    year zebra zoo
    """.split()
)
ADJECTIVES = tuple(
    """
    able absent ancient angry annual anxious artificial awful awkward bare beautiful bitter blank blind bold brave
    brief bright brilliant broad broken busy calm careful careless cheap cheerful clean clear clever cloudy clumsy
    cold common complete constant cool correct crooked crowded cruel curious daily damp dangerous dark dead deaf
    dear deep delicate delicious different difficult dirty distant double doubtful dry dull eager early elegant
    empty enormous equal exact excellent expensive faint fair faithful false familiar famous fancy fast fatal fierce
    final fine firm flat foolish foreign formal former fragile frequent fresh friendly full funny generous gentle
    giant glad golden gradual grand grateful grave greedy grey guilty handsome happy hard harsh heavy helpful hidden
    hollow honest horrible hot huge humble hungry idle ill immediate important impossible innocent jealous joint
    keen kind large lame late lazy lean legal level light likely local lonely long loose loud low loyal lucky mad
    main marvellous mean mild military miserable modern modest moral muddy mutual mysterious narrow nasty natural
    neat necessary nervous new nice noble noisy normal obvious odd official old open orderly ordinary original pale
    patient peculiar perfect permanent plain pleasant polite poor popular possible powerful practical precious
    pretty previous private probable proper proud public pure quaint quick quiet rapid rare raw ready real
    reasonable recent red regular remarkable remote responsible rich ridiculous ripe rough round royal rude rusty
    sacred sad safe salty scarce secret selfish sensible separate serious severe shallow sharp shy silent silly
    similar simple sincere single sleepy slender slight slippery slow small smart smooth soft solid solemn sore sour
    special splendid square stale steady steep sticky stiff strange strict strong stubborn stupid sudden suitable
    sunny superb sure surprising sweet swift tall tame tender terrible thick thin thirsty thorough tidy tight tiny
    tired total tough tragic true ugly uncertain unusual upper urgent useful useless usual vacant vague vain
    valuable vast violent visible vital warm wasteful weak wealthy weary wet whole wicked wide wild willing wise
    wonderful wooden worthless worthy wrong yellow young
    """.split()
)
VERBS = tuple(
    """
    accept admire admit advise allow announce answer approach arrange ask attend avoid bake beg begin believe blame
    bless borrow break bring build burn bury buy call carry catch celebrate change chase choose claim clean climb
    close collect compare complain complete confess consider consult contain continue control cook copy count cover
    cross cut damage declare decorate defend delay deliver demand deny describe deserve destroy discover discuss
    divide draw drink drive drop earn eat encourage enjoy enter examine exchange excuse expect explain explore
    express face fasten fear feed fetch fight fill find finish fix fold follow forbid forget forgive gather give
    grant greet grow guard guess guide handle hang hate hear help hide hire hold hunt hurry ignore imagine improve
    include inform insist inspect introduce invent invite join judge keep kick kill know lead learn leave lend lift
    like load lock lose love make manage mark marry measure meet melt mend mention move name need notice obey
    observe obtain offer open order owe own paint pardon pass pay permit persuade place plan plant play polish pour
    praise prefer prepare present preserve press pretend prevent print produce promise protect prove provide publish
    pull punish push question quit quote raise reach read realise receive recognise recommend record refuse regret
    release remember remind remove repair repeat replace reply report request rescue respect return reveal ring ruin
    rule satisfy save say search see seize sell send separate serve settle shake share show shut sign sing solve
    spell spend spill spoil spread start steal stop study suffer suggest supply support suppose surprise suspect
    swallow sweep take taste teach tear tell test thank think threaten throw tie touch trace trade train translate
    trust turn understand use visit wait wake want warn wash waste watch wear weigh welcome win wipe wish wonder
    wrap write
    """.split()
)
TECHNICAL = tuple(
    """
    algorithm amplifier antenna array assembler backup bandwidth battery benchmark binary bootloader browser buffer
    cache capacitor checksum circuit compiler compression configuration console cursor database debugger decoder
    desktop diode directory documentation download driver encoder encryption ethernet exception executable extension
    fibre filesystem filter firewall firmware frequency function gateway gigabyte gradient hardware header histogram
    hostname hypervisor index inductor installer integer interface interrupt iterator kernel keyboard keyword laptop
    latency layer library linker logarithm login loop mainframe matrix megabyte memory metadata microphone modem
    module monitor motherboard multiplexer network node operator oscillator outage packet parameter parser partition
    patch payload peripheral pixel plugin pointer polynomial port printer processor protocol proxy query queue
    recursion register repository resistor resolution router runtime scanner scheduler schema script semaphore
    sensor server shader shell simulator software spectrogram spectrum spreadsheet stack subroutine switch syntax
    tablet telemetry tensor terminal thread throughput timeout token toolkit topology touchscreen transformer
    transistor transmitter upload username variable vector version virtualization voltage waveform webcam website
    wireless workstation
    """.split()
)
DRINKS = _items(
    """
    latte | cappuccino | flat white | espresso | americano | mocha | cortado | macchiato | filter coffee | cold brew
    | iced coffee | hot chocolate | green tea | Earl Grey | chai latte | mint tea | black tea | orange juice |
    lemonade | sparkling water | milkshake | decaf | iced tea | ginger beer | apple juice
    """
)
FOODS = _items(
    """
    blueberry muffin | croissant | cheese sandwich | slice of carrot cake | bagel with cream cheese | bowl of soup |
    tuna salad | scone with jam | chocolate brownie | cinnamon roll | toasted panini | fruit salad | egg roll |
    piece of apple pie | plate of chips | vegetable curry | margherita pizza | bacon sandwich | garlic bread |
    pancakes with syrup | Caesar salad | roast chicken | fish pie | cheeseburger | bag of crisps | flapjack
    """
)
SIZES = _items(
    """
    small | medium | large | regular | double | single | tall | extra large | half-size
    """
)
MILKS = _items(
    """
    oat milk | soy milk | almond milk | skimmed milk | whole milk | coconut milk | cream | a little milk
    """
)
EXTRAS = _items(
    """
    two sugars | no sugar | extra foam | vanilla syrup | caramel syrup | an extra shot | whipped cream | a splash of
    milk | honey on the side | no ice | lemon | cinnamon on top | light roast beans | a lid
    """
)
KEYS = _items(
    """
    pound | star | hash | zero | the pound key | the star key | the hash key | any key | nine
    """
)
PHONE_ACTIONS = _items(
    """
    speak to an operator | leave a message | hear these options again | return to the main menu | listen to your
    messages | change your greeting | cancel | confirm | continue | delete this message | save this message | skip
    to the next message | reach the sales department | pay your bill | check your balance | report a fault | book an
    appointment | change your password | record your name | join the conference | leave the conference | mute your
    line | unmute your line | end the call | transfer this call | place a call | hear the time | hear the weather |
    hear your account number | stop the recording | start the recording | review your message | mark it as urgent |
    call this person back | forward it to another extension | choose another language | enter a new number | turn on
    call waiting | turn off call forwarding | raise the volume | lower the volume | go back | repeat | exit | hang
    up | speak to customer service | track an order | speak to a nurse | renew a prescription | hear our opening
    hours | accept the charges
    """
)
PROMPTS = _items(
    """
    please hold | please wait | one moment please | thank you for calling | goodbye | your message has been saved |
    your message has been deleted | your call is important to us | all lines are busy | please try again | please
    try again later | that is not valid | that was not a valid choice | I didn't catch that | please say it again |
    please enter your account number | please enter your date of birth | please leave your name and number | the
    person you are calling cannot come to the phone | the line is busy | no answer | the call could not be completed
    | you have no new messages | you have new messages | first message | last message | next message | end of
    messages | message received | message sent | recording started | recording stopped | access denied | access
    granted | incorrect password | login successful | welcome | welcome back | please speak after the beep | the
    caller has hung up | the number is not in service | the number has been changed | extension | your extension is
    | you are being transferred | you are the first caller | you are the only person in this call | another caller
    has joined | a caller has left | this call may be recorded | your password has been changed | your code is |
    your balance is | your order number is | the time is | today is | the temperature is | enabled | disabled |
    activated | deactivated | accepted | rejected | cancelled | confirmed | completed | pending | available |
    unavailable | online | offline | on | off | yes | no | okay | correct | wrong | start | stop | pause | resume |
    next | previous | up | down | left | right | forward | back | open | close | begin | end | more | less | help |
    menu | cancel | delete | save | send | reply | repeat | skip | search | undo | redo | select all | copy | paste
    | new | old | urgent | private | public | inbox | outbox | archive | settings | directory | operator | reception
    | billing | support | sales | accounts | complaints | admissions | emergency | pharmacy | hello | good morning |
    good afternoon | good evening | good night | see you later | take care | you're welcome | excuse me | I'm sorry
    | never mind | of course | not at all | that's right | I agree | I don't know | why not | how much | how many |
    what time | who's there | come in | sit down | hurry up | look out | be careful | well done | happy birthday |
    merry Christmas | congratulations | good luck | cheers | bless you | what a pity | how lovely | certainly not |
    without doubt | indeed | please dial a one first | your call cannot be forwarded | is on the phone | is not at
    home | is away | has joined the call | seconds remaining | minutes remaining | percent | degrees | dollars |
    pounds | pence | cents | euros | o'clock | a.m. | p.m. | hundred | thousand | million | billion | zero | oh |
    point | minus | plus | equals | times | divided by | slash | dash | comma | colon | semicolon | period | full
    stop | question mark | exclamation mark | open bracket | close bracket | underscore | ampersand | asterisk | at
    sign | hash sign | percent sign | dollar sign | quotation mark | apostrophe | alpha | bravo | charlie | delta |
    echo | foxtrot | golf | hotel | india | juliet | kilo | lima | mike | november | oscar | papa | quebec | romeo |
    sierra | tango | uniform | victor | whiskey | x-ray | yankee | zulu
    """
)
COMMANDS = _items(
    """
    turn on the {noun} | turn off the {noun} | switch on the {noun} | open the {noun} | close the {noun} | lock the
    {noun} | find my {noun} | play some music | play the next song | set an alarm for {time} | set a timer for
    {small} minutes | remind me to {verb} the {noun} | call {first} | call {name} | text {first} | send an email to
    {name} | what time is it in {city} | what's the weather in {city} | navigate to {city} | take me to {address} |
    add {noun} to my shopping list | add {small} {adjective} {noun} to the list | read my messages | cancel my
    {time} meeting | move the meeting to {day} | book a table for {small} at {time} | dim the lights to {percent} |
    set the temperature to {degrees} | volume up | volume down | stop | next | search for {adjective} {noun} |
    translate {noun} into French | how do you spell {noun} | show me the {noun} | delete the {noun} | rename it to
    {technical} | restart the {technical} | open {technical} settings | start recording | stop recording | zoom in |
    scroll down | go to page {small} | jump to chapter {small} | skip {small} seconds | dial {digits} | call
    extension {extension}
    """
)

TEMPLATES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "prompt": _items(
            """
            {prompt} | {prompt} | to {action}, press {digit} | press {digit} to {action} | press {digit} | press
            {key} to {action} | for {noun}, press {digit} | if you want to {action}, say yes | to {action} | dial
            {digits} | you have {small} new messages | you have {tens} old messages | {prompt}, {prompt} | please
            enter {small} digits, followed by {key} | there are {small} callers ahead of you | you are number
            {small} in the queue | the number {phone} has been disconnected | extension {extension} | message
            {small} | received on {day} at {time} | folder {digit} | channel {tens} | {small} messages | your
            balance is {money} | say {noun} or press {digit} | for {day}, press {digit} | room {extension}
            """
        ),
        "word": _items(
            """
            {noun} | {nouns} | {adjective} | {verb} | {technical} | {first} | {last} | {city} | {month} | {day} |
            the {noun} | a {adjective} {noun} | {adjective} {nouns} | {verb} the {noun} | {verb} it | {verb} them
            now | {letter} | the {technical} | no {nouns} | {noun} and {noun}
            """
        ),
        "number": _items(
            """
            {digit} | {small} | {tens} | {large} | {ordinal} | {year} | {date} | {time} | {money} | {decimal} |
            {percent} | {digits} | {phone} | {degrees} | {digits} | {phone} | number {digits}
            """
        ),
        "letters": _items(
            """
            {letters} | that's spelled {letters} | code {letters} {digits} | gate {letter} {tens} | {letter}
            """
        ),
        "command": _items(
            """
            {command} | {command} | {command} | okay, {command}
            """
        ),
        "figures": _items(
            """
            the {noun} was built in {year} | in {year} there were {large} {nouns} | it rose from {tens} to {large} |
            of these, {tens} were {nouns} and {tens} were {nouns} | by {year} the number had fallen to {large} | on
            {date}, {name} bought {small} {nouns} | he was born in {city} on {date} | the {ordinal} {noun} cost
            {money} | they sold {large} {nouns} for {money} | the meeting is at {time} on {day} | it was {time} when
            she left | between {year} and {year} the price went up by {percent} | about {percent} of the {nouns}
            were {adjective} | the {noun} weighs {decimal} kilograms | it is {large} miles from {city} to {city} |
            my number is {phone} | the train leaves platform {small} at {time} | she paid {money} for the {noun} |
            chapter {tens} | in the {decade} every {noun} had a {noun} | we need {small} {nouns} and {fraction} of
            the {nouns} | the answer is {decimal} | version {decimal} of the {technical} was released on {date} | I
            live at {address} | send the {noun} to {address} | the temperature will reach {degrees} on {day} | the
            {noun} is {tens} feet long and {small} feet wide | a fine of {money}, or {small} months in prison | the
            {ordinal} of {month} fell on a {day} | {tens} {nouns}, {tens} {nouns}, and {small} {nouns} in all |
            flight {digits} to {city} leaves at {time} | page {large}, line {tens} | bus {tens} stops at {address} |
            she came {ordinal} out of {tens} | your order of {money} will arrive on {date} | the population was
            {large} | the code is {digits} | only {small} of the {large} {nouns} were saved | {year}, {year}, and
            {year}
            """
        ),
        "order": _items(
            """
            can I get a {size} {drink} with {milk}, please? | I'd like {small} {drink}s and a {food} | could I have
            a {drink} with {extra}? | a {size} {drink}, {extra}, to take away | one {drink} and one {food} | make me
            a {size} {drink} | I'll have the {food} and a {drink} | give me a {drink} with {milk} and {extra} | do
            you have {milk}? | that'll be {money} | is the {food} still available? | for here or to go? | {size}
            {drink}, no {noun} | can you make that {drink} {size}? | may I have a {drink} with {extra}, please? |
            the {food} comes with {noun} and {noun} | table {small} wants the bill | a {size} {drink} for {first} |
            sorry, we're out of {milk} | would you like {extra} with your {drink}? | {drink}, please | a {food}
            """
        ),
        "question": _items(
            """
            where did you put the {noun}? | who told {name} about the {noun}? | why is the {noun} so {adjective}? |
            have you ever been to {city}? | how far is it to {city}? | what did {first} {verb}? | is that your
            {noun}? | when does the {noun} open? | how many {nouns} can you {verb} in a {noun}? | which {noun} do
            you prefer? | could you {verb} the {noun} for me? | did you say {tens} or {tens}? | shall we {verb} the
            {noun} on {day}? | what's the difference between a {noun} and a {noun}? | isn't it a bit {adjective}? |
            whose {noun} is this? | would {first} like to {verb} with us? | are there any {adjective} {nouns} left?
            | what time shall we meet? | do you know {name} from {city}? | can I borrow your {noun} until {day}? |
            how old is the {noun}?
            """
        ),
        "dialogue": _items(
            """
            "I don't think so," said {first} | "{first}, where is the {noun}?" asked {name} | well, I never said
            that | "{verb} the {noun}!" cried the {noun} | oh, {first}, I'm so sorry about the {noun} | yes, I'd
            love to | no, it isn't a {noun}, it's a {noun} | I told you, {first}, the {noun} is {adjective} | let's
            {verb} it again | "You're {adjective}," she whispered, "but I'll {verb} you." | hi {first}, it's {first}
            from {city} | I've lost my {noun}, have you seen it? | we'll {verb} it tomorrow, won't we? | hello, this
            is {name} speaking | thanks, {first}, that was very {adjective} of you | he said he'd {verb} the {noun}
            by {day} | wait for me! | my name is {name}, and I'm calling about the {noun} | don't {verb} the {noun},
            it's {adjective}
            """
        ),
        "technical": _items(
            """
            the {technical} could not find the {technical} | restart the {technical} before you {verb} the {noun} |
            each {technical} holds {large} entries | the new {technical} is {decimal} times faster | {technical}
            error {digits} | we measured the {technical} of the {technical} with a {technical} | a {adjective}
            {technical} needs {tens} bits | the {technical} sends {large} packets a second | please update your
            {technical} to version {decimal} | connect the {technical} to the {technical}, then check the
            {technical} | sampling at {large} hertz | the {technical} runs out of memory after {tens} minutes |
            click on {technical}, then choose {technical} | a {technical} is not a {technical} | the {technical}
            overheated at {degrees} | {technical} failed
            """
        ),
        "prose": _items(
            """
            the {adjective} {noun} stood by the {noun}, and nobody spoke | the {nouns} of {city} are {adjective} in
            {month} | upon the {noun} lay a {adjective} {noun}, much worn | it was a {adjective} {noun}, such as one
            seldom sees now | he was a {adjective} man, with a {adjective} {noun} | thereupon the {noun} was brought
            before the {noun} | she could neither {verb} nor {verb} | for the {noun} was {adjective}, and the {noun}
            {adjective} | {name}, the {noun} of {city}, was {adjective} and {adjective} | which was the {adjective}
            part of the {noun}, | a {noun} without a {noun} is like a {noun} without a {noun} | nor was the {noun}
            less {adjective} | the {noun} ought to {verb} the {noun}, or else {verb} it | no {noun} was permitted to
            {verb} the {noun}, | we had scarcely begun to {verb} when the {noun} fell | with {nouns} and {nouns} of
            every kind | under the {noun}, beside the {noun}, behind the {noun} | as for the {nouns}, they were
            {adjective} enough | {first} and {first} went to {city} to {verb} the {noun} | the {noun} of the {noun}
            of the {noun}
            """
        ),
    }
)
"""Templates of each kind; `{slot}` is a key of `texts.FILLERS`."""

KIND_SHARES: Mapping[str, float] = MappingProxyType(
    {
        "prompt": 0.13,
        "word": 0.16,
        "number": 0.1,
        "letters": 0.02,
        "command": 0.08,
        "figures": 0.18,
        "order": 0.07,
        "question": 0.07,
        "dialogue": 0.07,
        "technical": 0.05,
        "prose": 0.07,
    }
)
"""Share of each kind of template among the generated lines."""
