"""Every word that the tiny model's tokenizer knows; what is not here becomes the unknown token.

Digits, punctuation and single letters are tokens of their own. The list is data: a new kind whose sentences need a new word adds it
here, and the shipped weights are then pre-trained again (`python -m evolution_jobs.model.pretrain`).
"""

SENTENCES = """
a about above absolute after all an and answer apart appear appearance appears approximately approximate are area around as ask at away back
back-left back-right be before behind being below between bottom both by camera camera's can categories category centre center centers
centimeter centimeters centimetre centimetres centre centres choices choose clockwise closer closest cm coming compare compared consider
correct corner counter-clockwise count degrees depth dimension direction directly distance do does down each edge eight eleven
estimate estimated exactly exist exists facing far farther farthest fifth fifteen first five five's following for forward forwards fourth four
fourteen frame frames from front front-left front-right further furthest given goes has have height high how if image images in
is it item items kind larger largest last least left left-to-right length letter location long longest looking m m2 many measured measuring
measure meter meters metre metres middle minute more most mostly move moved moves moving multiple my near nearer nearest next nine nineteen no
not number numbers object objects of off on one only option options or order other out over per phrase picture pictures place point points
position present question refer relative respectively right room rooms room's same scene second see seen seventh sits
seven seventeen shortest show shown shows side sideways single sitting six sixteen sixth size sizes smaller smallest
square squared standing stand still strafe straight ten that the them there these they third thirteen this three time times to top
total toward towards turn turned turning turns twelve twenty two type types unit up upon user using viewed video view views visible wall was
way we were what when where which who whole wide width will with within word words would yes yet you your zero
assistant system eighteen closest-point answers
"""

COLOURS = (
    "black white grey gray red green blue yellow orange purple pink brown beige cyan teal turquoise navy maroon olive violet"
)

FURNITURE = """
armchair backpack barrel basin basket bathtub bed bench bin blanket board bookcase bookshelf bottle bowl box bucket cabinet candle carpet
ceiling chair chest clock closet coat coffee computer cone couch counter crate crib cube cup cupboard curtain cushion cutting cylinder desk
dishwasher door dresser drawer easel exhaust fan fireplace floor fridge guitar hanger headphones heater hamper island kettle keyboard ladder lamp laptop
light locker mat mattress microwave mirror monitor mouse nightstand ottoman oven painting pan paper piano pillow planter plant plinth pouf power
printer rack radiator refrigerator rug safe screen sculpture shelf shoe shoes sideboard sink sofa speaker stand stool stove strip suitcase table
tank telephone television toilet towel tower toy trash tree trolley trunk tub tv vase wardrobe washer washing machine whiteboard
window wine can dining aquarium arcade bar beanbag bicycle chandelier globe fountain
"""

LETTERS = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
DIGITS = "0 1 2 3 4 5 6 7 8 9"
PUNCTUATION = ". , ? ! : ; ' \" ( ) - / %"

WORDS: tuple[str, ...] = tuple(dict.fromkeys(" ".join((DIGITS, PUNCTUATION, LETTERS, SENTENCES, COLOURS, FURNITURE)).split()))
